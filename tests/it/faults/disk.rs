//! A small disk of its own that can be cut from its power: ext4 on a file, and the file system's own shutdown.
//!
//! What was not forced to the disk before the cut is gone when it is mounted again (`EXT4_IOC_SHUTDOWN` without a
//! flush of the journal; see the kernel's `fs/ext4/ioctl.c`). Needs root: whoever has no right to mount must leave
//! these trials out and say so, as `ops/check` does.

use crate::node::peer_script;
use std::{path::PathBuf, process::Command};
use tempfile::TempDir;

/// A mounted disk; it is unmounted with this.
pub(super) struct Disk {
    directory: TempDir,
}

impl Disk {
    /// An empty disk of so many MiB.
    pub(super) fn of(mib: u64) -> Self {
        let disk = Self { directory: tempfile::tempdir().unwrap() };
        std::fs::File::create(disk.image()).unwrap().set_len(mib << 20).unwrap();
        std::fs::create_dir(disk.path()).unwrap();
        run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(disk.image()));
        disk.mount();
        disk
    }

    /// Where its files lie.
    pub(super) fn path(&self) -> PathBuf {
        self.directory.path().join("mount")
    }

    /// From now on nothing reaches it: every write fails, and what was not forced to it is lost.
    pub(super) fn cut(&self) {
        run(Command::new(crate::model_server::python()).arg(peer_script("cut_power.py")).arg(self.path()));
    }

    /// As a start after the cut finds it. Whoever had it open is gone.
    pub(super) fn mount_again(&self) {
        run(Command::new("umount").arg(self.path()));
        self.mount();
    }

    fn image(&self) -> PathBuf {
        self.directory.path().join("image")
    }

    fn mount(&self) {
        run(Command::new("mount").args(["-o", "loop"]).arg(self.image()).arg(self.path()));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Whoever still has it open is a process that ends with the test: the disk goes when that has gone.
        drop(Command::new("umount").arg("--lazy").arg(self.path()).status());
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
