//! Every file of the corpus goes through the readers of several messages: each answers or refuses, and what
//! it takes it can write. A file that once made trouble stays here.

use messor_proto::mesos::{self, agent, master, scheduler};
use messor_proto::{Version, Wire};

fn pass<M: Wire>(bytes: &[u8], taken: &mut usize) {
    for version in [Version::V0, Version::V1] {
        if let Ok(message) = M::from_json(bytes, version) {
            *taken += 1;
            assert!(M::from_json(&message.to_json(version), version).is_ok(), "{}", M::NAME);
        }
        if let Ok(message) = M::decode_checked_as(bytes, version) {
            *taken += 1;
            assert!(M::decode_checked_as(&message.encode_as(version), version).is_ok(), "{}", M::NAME);
        }
    }
}

#[test]
fn every_file_is_taken_or_refused() {
    let (mut files, mut taken) = (0, 0);
    for entry in std::fs::read_dir(crate::folder("corpus")).expect("the corpus is there") {
        let bytes = crate::file(&entry.expect("an entry").path());
        files += 1;
        pass::<master::Call>(&bytes, &mut taken);
        pass::<agent::Call>(&bytes, &mut taken);
        pass::<scheduler::Call>(&bytes, &mut taken);
        pass::<mesos::TaskInfo>(&bytes, &mut taken);
        pass::<mesos::Resource>(&bytes, &mut taken);
        pass::<mesos::ContainerId>(&bytes, &mut taken);
    }
    assert!(files >= 10, "{files} files");
    assert!(taken >= 10, "{taken} taken");
}
