//! Controllers whose groups a container is only put into: `cpuset`, `hugetlb`, `net_prio`, `pids`. What they limit is the
//! operator's business, in the files of the groups.

use super::controller::Controller;

pub struct Plain(pub &'static str);

impl Controller for Plain {
    fn name(&self) -> &'static str {
        self.0
    }
}
