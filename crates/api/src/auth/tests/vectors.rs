//! Signatures of Project Wycheproof: RSASSA-PKCS1-v1_5 with SHA-256, which is what RS256 is.
//!
//! Its vectors of whole JSON Web Signatures are in no registry of packages; what they try beyond the signature
//! (`alg`, `kid`, `jwk`, `crit`, the encoding) stands in the tables beside this file.

use super::super::clerk::{IssuerKeys, is_genuine};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use wycheproof::{
    TestResult,
    rsa_pkcs1_verify::{TestName, TestSet},
};

#[test]
fn of_wycheproofs_signatures_the_valid_ones_are_genuine_and_no_other() {
    let mut counts = [0; 3];
    for name in [TestName::Rsa2048Sha256, TestName::Rsa3072Sha256, TestName::Rsa4096Sha256, TestName::Rsa8192Sha256] {
        for group in TestSet::load(name).unwrap().test_groups {
            let IssuerKeys::Fixed(key) = IssuerKeys::from_pem(&group.pem).unwrap() else { panic!("a PEM is one key") };
            for test in group.tests {
                let signature = URL_SAFE_NO_PAD.encode(&*test.sig);
                let genuine = is_genuine(&test.msg, &signature, &key);
                let what = format!("{name:?} {}: {} {:?}", test.tc_id, test.comment, test.flags);
                match test.result {
                    TestResult::Valid => assert!(genuine, "{what}"),
                    TestResult::Invalid => assert!(!genuine, "{what}"),
                    TestResult::Acceptable => {}
                }
                counts[test.result as usize] += 1;
            }
        }
    }
    assert!(counts[0] > 30 && counts[1] > 800, "{counts:?}");
}
