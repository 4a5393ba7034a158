//! States of unfinished work that move.

use super::*;

#[test]
fn states_move_and_take_the_place_of_earlier_ones() {
    let two = Two::new();
    let fingerprint = Digest::of(b"training");
    let state = |cache: &Cache| cache.resume_state_path(&fingerprint).join("state/epoch");
    let write = |content: &str| {
        fs::create_dir_all(state(&two.here).parent().unwrap()).unwrap();
        fs::write(state(&two.here), content).unwrap();
    };
    let [ours, others] = ["the key of this team", "the key of another team"].map(Some);
    let (push, pull) = (
        || two.remote_with(ours).push_state(&two.here, &fingerprint, &Transfer::default()).unwrap(),
        |key| {
            let pulled = two.remote_with(key).pull_state(&two.there, &fingerprint, &Transfer::default());
            pulled.map(|placed| placed.is_some())
        },
    );
    assert!(!push() && !pull(ours).unwrap());
    for content in ["epoch 1", "epoch 2"] {
        write(content);
        assert!(push());
    }
    // State is loaded: what a stranger left is not.
    assert!(pull(others).is_err() && !state(&two.there).exists());
    assert!(pull(ours).unwrap());
    assert_eq!(fs::read_to_string(state(&two.there)).unwrap(), "epoch 2");
    write("epoch 3");
    assert!(push() && !pull(ours).unwrap());
    let _claim = two.here.try_claim(&fingerprint).unwrap().unwrap();
    let at_work = Cache::open(two.here.root()).unwrap();
    assert!(!two.remote().push_state(&at_work, &fingerprint, &Transfer::default()).unwrap());
}

#[test]
fn a_state_of_folders_alone_is_none() {
    let two = Two::new();
    let fingerprint = Digest::of(b"training");
    let state = |cache: &Cache, name: &str| cache.resume_state_path(&fingerprint).join("state").join(name);
    let push = |cache: &Cache| two.remote().push_state(cache, &fingerprint, &Transfer::default()).unwrap();
    for cache in [&two.here, &two.there] {
        fs::create_dir_all(state(cache, "checkpoints/of/epochs")).unwrap();
        assert!(!push(cache));
    }
    fs::write(state(&two.here, "checkpoints/40"), "epoch 40").unwrap();
    assert!(push(&two.here) && !push(&two.there));
    let pulled = two.remote().pull_state(&two.there, &fingerprint, &Transfer::default()).unwrap();
    assert!(pulled.is_some());
    assert_eq!(fs::read_to_string(state(&two.there, "checkpoints/40")).unwrap(), "epoch 40");
    assert!(state(&two.there, "checkpoints/of/epochs").is_dir());
}

#[test]
fn links_out_of_a_state_move_under_a_teams_key_alone() {
    let two = Two::new();
    let fingerprint = Digest::of(b"training");
    let state = |cache: &Cache| cache.resume_state_path(&fingerprint).join("state");
    fs::create_dir_all(state(&two.here)).unwrap();
    std::os::unix::fs::symlink("/etc", state(&two.here).join("link")).unwrap();
    let key = Some("the key of this team");
    let push = |key| two.remote_with(key).push_state(&two.here, &fingerprint, &Transfer::default());
    let pull = |key| two.remote_with(key).pull_state(&two.there, &fingerprint, &Transfer::default());
    let refused = push(None).unwrap_err();
    assert!(matches!(refused, RemoteError::LinkOut { .. }) && !two.team().join("unfinished").exists(), "{refused}");
    assert!(push(key).unwrap());
    let refused = pull(None).unwrap_err();
    assert!(matches!(refused, RemoteError::LinkOut { .. }) && !state(&two.there).exists(), "{refused}");
    assert!(refused.to_string().contains("`state/link` to `/etc`"), "{refused}");
    assert!(pull(key).unwrap().is_some());
    assert_eq!(fs::read_link(state(&two.there).join("link")).unwrap(), Path::new("/etc"));
}
