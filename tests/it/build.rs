//! Which build of the program a server is: the usual one, or one that dies and errs on request.

use advisor_proof::Mutant;
use std::path::{Path, PathBuf};

/// A build, and what is asked of it.
#[derive(Clone, Debug)]
pub(crate) struct Build {
    pub(crate) program: PathBuf,
    pub(crate) orders: Vec<(String, String)>,
}

impl Build {
    /// What people run.
    pub(crate) fn usual() -> Self {
        Self { program: beside_the_tests("advisor"), orders: Vec::new() }
    }

    /// The build that dies and errs on request, asked for nothing.
    pub(crate) fn proof() -> Self {
        Self { program: beside_the_tests("advisor-proof"), orders: Vec::new() }
    }

    /// The same with a fault planted in it.
    pub(crate) fn with(mutant: Mutant) -> Self {
        Self { orders: vec![("PROOF_MUTANT".to_owned(), mutant.name().to_owned())], ..Self::proof() }
    }
}

/// The binaries stand beside the tests in the target directory.
fn beside_the_tests(name: &str) -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let binary = tests.parent().and_then(Path::parent).unwrap().join(name);
    assert!(binary.exists(), "{} is not there: build it first, as ops/check does", binary.display());
    binary
}
