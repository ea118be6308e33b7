//! Several floods at once, in a machine with little memory.

use super::{connections::HASTE, siege::Siege, streams::unread_streams, throng};
use std::{fs, path::PathBuf, time::Duration};

/// What the machine has.
const MACHINE_MIB: usize = 512;

#[tokio::test]
async fn floods_at_once_do_not_kill_a_server_that_has_half_a_gigabyte() {
    // The group ends after the server, which is in it.
    let machine;
    let siege = Siege::begin(&HASTE).await;
    machine = SmallMachine::around(siege.server.pid(), siege.taken_mib());
    let url = &siege.server.url;
    let (client, id) = siege.talker("mallory", 60).await;
    let head = format!("host: a\r\nauthorization: Bearer {}\r\n", client.token);
    let post = format!("POST /api/conversations HTTP/1.1\r\n{head}content-type: application/json\r\n");
    let names: Vec<String> = (0..90_000).map(|name| format!("\"{name}\":1")).collect();
    let names = format!("{{{}}}", names.join(","));
    let values = format!("{post}content-length: {}\r\n\r\n{names}", names.len());
    let slow_body = format!("{post}content-length: 1048576\r\n\r\n{}", " ".repeat(1_000_000));
    let whole = format!("GET /api/conversations/{id} HTTP/1.1\r\n{head}\r\n");
    let slow_head = format!("GET /livez HTTP/1.1\r\nhost: a\r\nx-large: {}", "a".repeat(15_000));

    let floods = async {
        tokio::join!(
            throng::crowd(url, 100, slow_body.as_bytes()),
            throng::crowd(url, 100, whole.as_bytes()),
            throng::crowd(url, 1_000, slow_head.as_bytes()),
            unread_streams(&siege, &client, &id, 20),
            throng::each(url, 100, values.as_bytes()),
        )
    };
    let come = siege.under(floods).await;
    siege.under(tokio::time::sleep(Duration::from_secs(1))).await;
    drop(come);
    println!("all at once: {}; {}", siege.end().await, SmallMachine::told(machine.as_ref()));
}

/// A group of processes that has no more memory (cgroup v1).
struct SmallMachine(PathBuf);

impl SmallMachine {
    /// Puts a process into it; nothing where that is not to be had. What the process has taken already is not counted
    /// there, and so is taken off.
    fn around(process: u32, taken_mib: usize) -> Option<Self> {
        let group = PathBuf::from(format!("/sys/fs/cgroup/memory/advisor-flood-{process}"));
        fs::create_dir(&group).ok()?;
        let machine = Self(group);
        let bytes = (MACHINE_MIB - taken_mib) * 1_024 * 1_024;
        for (name, value) in [("memory.limit_in_bytes", bytes.to_string()), ("cgroup.procs", process.to_string())] {
            fs::write(machine.0.join(name), value).ok()?;
        }
        Some(machine)
    }

    fn told(machine: Option<&Self>) -> String {
        match machine {
            Some(machine) => {
                let most = fs::read_to_string(machine.0.join("memory.max_usage_in_bytes")).unwrap();
                let most: usize = most.trim().parse().unwrap();
                let most = most.div_ceil(1_024 * 1_024);
                format!("in a group of {MACHINE_MIB} MiB, which took {most} more at most, pages of files among them")
            }
            None => "NOT in a group of limited memory: there is no cgroup v1 here that may be written".to_owned(),
        }
    }
}

impl Drop for SmallMachine {
    fn drop(&mut self) {
        // Where it could not be emptied it is left to the system.
        drop(fs::remove_dir(&self.0));
    }
}
