//! Unpacking archives that nobody should trust.

use std::collections::BTreeMap;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use athanor_fetch::unpack::{Limits, Refusal, UnpackError, Unpacked, unpack};
use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use tar::{EntryType, Header};
use tempfile::TempDir;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

/// Unpacks an archive two folders deep, so that what gets out is seen.
struct Fixture {
    folder: TempDir,
}

impl Fixture {
    fn new() -> Fixture {
        Fixture { folder: tempfile::tempdir().unwrap() }
    }

    fn out(&self) -> PathBuf {
        self.folder.path().join("inner/out")
    }

    fn unpack_within(&self, archive: &[u8], limits: &Limits) -> Result<Unpacked, UnpackError> {
        let inner = self.folder.path().join("inner");
        std::fs::create_dir_all(&inner).unwrap();
        std::fs::write(inner.join("archive"), archive).unwrap();
        let result = unpack(&inner.join("archive"), &self.out(), limits, &|| false);
        assert_eq!(self.out().exists(), result.is_ok(), "{result:?}");
        assert_eq!(names(self.folder.path()), ["inner"]);
        assert!(names(&inner).iter().all(|name| name == "archive" || name == "out"));
        result
    }

    fn unpack(&self, archive: &[u8]) -> Result<Unpacked, UnpackError> {
        self.unpack_within(archive, &Limits::default())
    }

    /// All files by path, with their content.
    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        let mut folders = vec![self.out()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let kind = std::fs::symlink_metadata(&path).unwrap();
                assert!(kind.is_dir() || kind.is_file(), "{path:?}");
                if kind.is_dir() {
                    folders.push(path);
                } else {
                    let name = path.strip_prefix(self.out()).unwrap().to_str().unwrap().to_owned();
                    files.insert(name, std::fs::read(path).unwrap());
                }
            }
        }
        files
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// One entry of a tar archive, with a header that no library would let pass.
fn entry(entry_type: EntryType, name: &str, link: &str, content: &[u8]) -> Vec<u8> {
    let mut header = Header::new_gnu();
    let put = |field: &mut [u8], text: &str| field[..text.len()].copy_from_slice(text.as_bytes());
    put(&mut header.as_gnu_mut().unwrap().name, name);
    put(&mut header.as_gnu_mut().unwrap().linkname, link);
    header.set_entry_type(entry_type);
    header.set_size(content.len() as u64);
    header.set_mode(0o4777);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn file(name: &str, content: &[u8]) -> Vec<u8> {
    entry(EntryType::Regular, name, "", content)
}

fn tar(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = entries.concat();
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in files {
        if name.ends_with('/') {
            writer.add_directory(*name, SimpleFileOptions::default()).unwrap();
        } else {
            writer.start_file(*name, SimpleFileOptions::default().unix_permissions(0o755)).unwrap();
            writer.write_all(content).unwrap();
        }
    }
    writer.finish().unwrap().into_inner()
}

#[track_caller]
fn refused(archive: &[u8], name: &str, wanted: &Refusal) {
    match Fixture::new().unpack(archive) {
        Err(UnpackError::Refused { entry, why }) => assert_eq!((entry.as_str(), &why), (name, wanted)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn honest_archives_are_unpacked_whatever_their_name() {
    use std::os::unix::fs::PermissionsExt;
    let big = vec![5; 200_000];
    let listed = [("a/b/c.png", &big[..]), ("a/empty", b""), ("top.csv", b"Id\n")];
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in listed {
        let mut header = Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o777);
        builder.append_data(&mut header, name, content).unwrap();
    }
    let tar = builder.into_inner().unwrap();
    for archive in [zip(&listed), tar.clone(), gz(&tar)] {
        let fixture = Fixture::new();
        let unpacked = fixture.unpack(&archive).unwrap();
        assert_eq!(unpacked, Unpacked { files: 3, bytes: 200_003 });
        let expected = listed.map(|(name, content)| (name.to_owned(), content.to_vec()));
        assert_eq!(fixture.files(), BTreeMap::from(expected));
        let mode = std::fs::metadata(fixture.out().join("top.csv")).unwrap().permissions().mode();
        assert_eq!(mode & 0o7111, 0, "nothing is executable");
    }
}

#[test]
fn names_of_any_length_and_attributes_are_read() {
    let long = format!("{}/{}", "d".repeat(200), "f".repeat(200));
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = Header::new_gnu();
    header.set_size(3);
    builder.append_data(&mut header, &long, &b"gnu"[..]).unwrap();
    builder.append_pax_extensions([("path", &b"by/pax"[..]), ("mtime", b"1.5")]).unwrap();
    header.set_path("ignored").unwrap();
    header.set_cksum();
    builder.append(&header, &b"pax"[..]).unwrap();
    let fixture = Fixture::new();
    fixture.unpack(&builder.into_inner().unwrap()).unwrap();
    let files = fixture.files();
    assert_eq!(files[&long], b"gnu");
    assert_eq!(files["by/pax"], b"pax");
}

#[test]
fn names_that_lead_out_are_refused() {
    for (name, why) in [
        ("/etc/passwd", Refusal::Absolute),
        ("C:evil", Refusal::Absolute),
        ("../evil", Refusal::Climbs),
        ("a/../../evil", Refusal::Climbs),
        ("a/..", Refusal::Climbs),
        ("..\\evil", Refusal::Odd),
        ("a\nb", Refusal::Odd),
    ] {
        let shown: String = name.chars().flat_map(char::escape_debug).collect();
        refused(&tar(&[file(name, b"x")]), &shown, &why);
        refused(&zip(&[("fine", b"x"), (name, b"x")]), &shown, &why);
        refused(&tar(&[entry(EntryType::Directory, name, "", b"")]), &shown, &why);
    }
}

#[test]
fn links_inside_become_copies_and_others_are_refused() {
    let link = |name: &str, to: &str| entry(EntryType::Symlink, name, to, b"");
    let fixture = Fixture::new();
    let archive = tar(&[
        link("first", "a/second"),
        link("a/second", "../b/file"),
        file("b/file", b"content"),
        entry(EntryType::Link, "hard", "./b/file", b""),
    ]);
    assert_eq!(fixture.unpack(&archive).unwrap(), Unpacked { files: 4, bytes: 28 });
    assert!(fixture.files().values().all(|content| content == b"content"));

    for to in ["/etc/passwd", "../../x", "a/../../x"] {
        refused(&tar(&[link("l", to)]), "l", &Refusal::LeadsOut(to.to_owned()));
        refused(&tar(&[entry(EntryType::Link, "l", to, b"")]), "l", &Refusal::LeadsOut(to.to_owned()));
    }
    refused(&tar(&[link("l", "nothing")]), "l", &Refusal::LeadsNowhere("nothing".to_owned()));
    refused(&tar(&[link("l", "m"), link("m", "l")]), "m", &Refusal::LeadsNowhere("l".to_owned()));
    // The classic: a link to a folder elsewhere, then a file through it.
    refused(&tar(&[link("l", "a"), file("l/evil", b"x")]), "l/evil", &Refusal::Twice);

    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    writer.add_symlink("l", "../../x", SimpleFileOptions::default()).unwrap();
    refused(&writer.finish().unwrap().into_inner(), "l", &Refusal::LeadsOut("../../x".to_owned()));
}

#[test]
fn repeated_names_and_devices_are_refused() {
    refused(&tar(&[file("a", b"1"), file("a", b"2")]), "a", &Refusal::Twice);
    refused(&tar(&[file("a", b"1"), file("./a", b"2")]), "./a", &Refusal::Twice);
    refused(&tar(&[file("a", b"1"), file("a/b", b"2")]), "a/b", &Refusal::Twice);
    refused(&tar(&[file("a/b", b"1"), file("a", b"2")]), "a", &Refusal::Twice);
    refused(&zip(&[("a", b"1"), ("./a", b"2")]), "./a", &Refusal::Twice);
    let folder = || entry(EntryType::Directory, "a/", "", b"");
    Fixture::new().unpack(&tar(&[folder(), folder(), file("a/b", b"1")])).unwrap();
    for special in [EntryType::Char, EntryType::Block, EntryType::Fifo] {
        refused(&tar(&[entry(special, "dev", "", b"")]), "dev", &Refusal::Special);
    }

    // Two entries of one name, as only a forged directory has.
    let mut forged = zip(&[("aa", b"1"), ("ab", b"2")]);
    let at: Vec<usize> = (0..forged.len() - 1).filter(|at| &forged[*at..*at + 2] == b"ab").collect();
    at.iter().for_each(|at| forged[at + 1] = b'a');
    let error = Fixture::new().unpack(&forged).unwrap_err();
    assert!(error.to_string().contains("the same name"), "{error}");
}

#[test]
fn bombs_are_refused() {
    let zeros = vec![0; 4 << 20];
    let listed: Vec<Vec<u8>> = (0..20).map(|index| file(&index.to_string(), &[])).collect();
    let tight = Limits { entries: 10, bytes: Some(1 << 20) };
    for archive in [zip(&[("zeros", &zeros)]), gz(&tar(&[file("zeros", &zeros)])), gz(&tar(&[vec![0; 4 << 20]]))] {
        let error = Fixture::new().unpack_within(&archive, &tight).unwrap_err();
        let known = matches!(error, UnpackError::TooLarge { limit: 0x10_0000 } | UnpackError::NotAnArchive { .. });
        assert!(known, "{error}");
    }
    let error = Fixture::new().unpack_within(&tar(&listed), &tight).unwrap_err();
    assert!(matches!(error, UnpackError::TooMany { limit: 10 }), "{error}");
    // Zeros behind the end mark, and a name that fills the memory.
    let mut trailing = tar(&[file("a", b"1")]);
    trailing.resize(8 << 20, 0);
    let error = Fixture::new().unpack_within(&gz(&trailing), &tight).unwrap_err();
    assert!(matches!(error, UnpackError::TooLarge { .. }), "{error}");
    let name = entry(EntryType::GNULongName, "././@LongLink", "", &zeros);
    let error = Fixture::new().unpack(&gz(&tar(&[name]))).unwrap_err();
    assert!(error.to_string().contains("more than a megabyte"), "{error}");
}

#[test]
fn cut_archives_are_errors_at_every_length_and_leave_nothing() {
    let content = (0..3000_u32).map(|index| (index * index % 251) as u8).collect::<Vec<_>>();
    let plain = tar(&[file("a", &content), file("b", b"2")]);
    let archives = [zip(&[("a", &content), ("b", b"2")]), gz(&plain), plain];
    for archive in archives {
        // Of the two blocks at the end of a tar archive one is enough.
        let end = if archive.len() % 512 == 0 { archive.len() - 512 } else { archive.len() };
        for length in (0..end).step_by(41).chain([end - 1]) {
            Fixture::new().unpack(&archive[..length]).unwrap_err();
        }
    }
}

/// As gzip itself reads them.
#[test]
fn gzip_in_parts_and_with_zeros_behind_it_is_whole() {
    let plain = tar(&[file("a", b"1"), file("b", &[7; 3000])]);
    let (first, second) = plain.split_at(700);
    let parts = [gz(first), gz(second)].concat();
    let padded = [gz(first), vec![0; 100_000], gz(second), vec![0; 512]].concat();
    for archive in [parts, padded, [gz(&plain), vec![0]].concat()] {
        let fixture = Fixture::new();
        assert_eq!(fixture.unpack(&archive).unwrap(), Unpacked { files: 2, bytes: 3001 });
        assert_eq!(fixture.files()["b"], [7; 3000]);
    }
    let error = Fixture::new().unpack(&[gz(&plain), b"\0\0junk".to_vec()].concat()).unwrap_err();
    assert!(matches!(error, UnpackError::Damaged { .. }), "{error}");
}

#[test]
fn ways_to_pack_that_are_not_read_are_named() {
    let sound = zip(&[("a", &[7; 3000])]);
    for (number, said) in [(12, "bzip2"), (14, "LZMA"), (9, "Deflate64"), (93, "Zstandard"), (95, "xz"), (77, "77")] {
        let mut archive = sound.clone();
        let directory = archive.windows(4).position(|four| four == b"PK\x01\x02").unwrap();
        (archive[8], archive[directory + 10]) = (number, number);
        let error = Fixture::new().unpack(&archive).unwrap_err();
        let expected = "its entry `a` is packed by ";
        assert!(matches!(error, UnpackError::Unsupported { .. }), "{error}");
        assert!(error.to_string().contains(expected) && error.to_string().contains(said), "{error}");
    }
}

#[test]
fn what_is_no_archive_is_named() {
    let message = |bytes: &[u8]| Fixture::new().unpack(bytes).unwrap_err().to_string();
    assert!(message(b"<html><title>Log in</title>").contains("an HTML page titled `Log in`"));
    assert!(message(&gz(b"Id,Target\n")).contains("gzip data that holds the text `Id,Target`"));
    assert!(message(b"").contains("nothing"));
    assert!(message(&vec![0; 4096]).contains("no zip, tar or tar.gz"));
    let mut damaged = zip(&[("a", &[3; 100])]);
    damaged[40] ^= 1;
    assert!(message(&damaged).contains("damaged"), "{}", message(&damaged));
}

#[test]
fn a_stopped_unpacking_leaves_nothing() {
    let fixture = Fixture::new();
    let archive = fixture.folder.path().join("archive");
    std::fs::write(&archive, tar(&[file("a", b"1"), file("b", b"2")])).unwrap();
    let out = fixture.folder.path().join("out");
    let asked = std::cell::Cell::new(0);
    let stop = || asked.replace(asked.get() + 1) > 2;
    assert!(matches!(unpack(&archive, &out, &Limits::default(), &stop), Err(UnpackError::Interrupted)));
    assert_eq!(names(fixture.folder.path()), ["archive"]);
}

fn hostile_name() -> impl Strategy<Value = String> {
    "(\\.\\./|/|\\./|a/|b/|C:|\\\\){0,4}[ab.]{0,3}"
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    /// With any entries, nothing gets out (which the bench asserts), and nothing but files and folders is made.
    #[test]
    fn hostile_entries_stay_inside(
        entries in proptest::collection::vec((0..6_usize, hostile_name(), hostile_name()), 0..6),
        packed: bool,
    ) {
        use EntryType::{Directory, Link, Regular, Symlink};
        let types = [Regular, Regular, Directory, Symlink, Link, EntryType::GNULongName];
        let made = |(kind, name, link): &(usize, String, String)| {
            let content = if *kind == 5 { link.as_bytes() } else { b"" };
            entry(types[*kind], name, link, content)
        };
        let entries: Vec<Vec<u8>> = entries.iter().map(made).collect();
        let archive = tar(&entries);
        let fixture = Fixture::new();
        if fixture.unpack(&if packed { gz(&archive) } else { archive }).is_ok() {
            fixture.files();
        }
    }

    /// Archives with bytes changed, cut out and doubled.
    #[test]
    fn mutated_archives_never_panic_and_stay_inside(
        form in 0..3_usize,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in proptest::option::of((any::<prop::sample::Index>(), 0..40_usize)),
        fix_checksums: bool,
    ) {
        let content = [&b"content"[..], &[1; 600]].concat();
        let mut archive = match form {
            0 => zip(&[("a/", b""), ("a/b", &content), ("c", b"2")]),
            _ => tar(&[file("a/b", &content), entry(EntryType::Symlink, "l", "a/b", b""), file("c", b"2")]),
        };
        for (at, value) in changes {
            let at = at.index(archive.len());
            archive[at] = value;
        }
        if let Some((at, length)) = cut {
            let at = at.index(archive.len());
            archive.drain(at..(at + length).min(archive.len()));
        }
        if form > 0 && fix_checksums {
            for block in archive.chunks_exact_mut(512).filter(|block| block[257..262] == *b"ustar") {
                let mut header = Header::from_byte_slice(block).clone();
                header.set_cksum();
                block.copy_from_slice(header.as_bytes());
            }
        }
        let fixture = Fixture::new();
        if fixture.unpack(&if form == 2 { gz(&archive) } else { archive }).is_ok() {
            fixture.files();
        }
    }
}
