//! What stays in the cache.

use super::*;

#[test]
fn an_archive_is_unpacked_once_until_it_changes() {
    let (_root, given) = folder(&[("photos.tar", tar(&["cup/a.jpg", "can/b.jpg"]))]);
    let (path, cache) = (given.join("photos.tar"), given.with_file_name("cache"));
    let both: Vec<_> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..4).map(|_| scope.spawn(|| unpacked(&path, &cache))).collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect()
    });
    fs::write(both[0].join("mark"), "").unwrap();
    assert_eq!(unpacked(&path, &cache), both[0]);
    assert!(both.iter().all(|folder| *folder == both[0]) && both[0].join("mark").exists());
    assert_eq!(folders(&cache).len(), 1, "no temporary folder stays");
    fs::write(&path, tar(&["cup/a.jpg", "can/b.jpg", "box/c.jpg"])).unwrap();
    assert_eq!(scanned(&path).unwrap().classes, ["box", "can", "cup"]);
}

#[test]
fn what_killed_processes_left_is_cleared_unless_somebody_is_at_work() {
    let (_root, given) = folder(&[("a.tar", tar(&["cup/a.jpg"])), ("b.tar", tar(&["cup/b.jpg"]))]);
    let cache = given.with_file_name("cache");
    let left = cache.join(".unpacking-left/photos/cup");
    fs::create_dir_all(&left).unwrap();
    let other = cache::enter(&cache).unwrap();
    assert!(!left.exists(), "nobody was at work");
    fs::create_dir_all(&left).unwrap();
    unpacked(&given.join("a.tar"), &cache);
    assert!(left.is_dir(), "it may be the other's");
    drop(other);
    unpacked(&given.join("b.tar"), &cache);
    assert!(!left.exists());
    assert_eq!(folders(&cache).len(), 2);
}

#[test]
fn unpacking_counts_files_and_what_is_unpacked_already_does_not() {
    let (_root, given) = folder(&[("photos.tar", tar(&["cup/a.jpg", "can/b.jpg", "cup/c.jpg"]))]);
    let (path, cache) = (given.join("photos.tar"), given.with_file_name("cache"));
    for expected in [vec![0, 1, 2, 3], vec![]] {
        let mut seen = Vec::new();
        unpack(&path, &cache, &mut |files| seen.push(files)).unwrap().unwrap();
        assert_eq!(seen, expected);
    }
    assert!(is_packed(&path).unwrap() && !is_packed(&given).unwrap());
}

fn unpacked(path: &Path, cache: &Path) -> PathBuf {
    unpack(path, cache, &mut |_| ()).unwrap().unwrap()
}
