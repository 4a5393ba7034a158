//! Files of a folder that are no images of the set.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use athanor_images::file_type::FileType;

use super::{BadImage, Naming, label_inside};

/// Most edits between a channel's name and what is taken for a misspelling of it.
const NEAR: usize = 2;
/// A name of one or two letters has neighbours everywhere.
const SHORTEST_WITH_TYPOS: usize = 3;

/// Whether systems and programs hide a file, as none of it was meant as data: names that begin with a dot (among them
/// AppleDouble's `._name`), what archives of a Mac keep aside, and what Windows leaves in folders.
pub(super) fn is_hidden(name: &str) -> bool {
    name.split('/').any(|part| part.starts_with('.') || ["__MACOSX", "Thumbs.db", "desktop.ini"].contains(&part))
}

/// A visible file whose name is not that of a wanted channel's image: what is wrong with it, unless it is an image of a channel that
/// was not asked for. It belongs to no image, so it has no id. It is meant as one by its extension, or else by its first bytes. `label`
/// is the folder's, `path` that of the file.
pub(super) fn unmatched(naming: &Naming, name: &str, label: &str, path: &Path) -> Option<BadImage> {
    let wanted = naming.candidates();
    let written = naming.written_channel(name).filter(|_| has_image_extension(name));
    let near = written.as_ref().and_then(|(_, channel)| wanted.iter().find(|wanted| is_near(wanted, channel)));
    if naming.selects_channels() && written.is_some() && near.is_none() {
        return None;
    }
    let all = wanted.join(", ");
    let reason = match (written, near) {
        (Some((id, channel)), Some(near)) => {
            let right = naming.with_extension_of(&id, near, name);
            format!("belongs to no image: its channel `{channel}` is none of {all}; is it `{right}`?")
        }
        (Some((_, channel)), None) => {
            format!(
                "belongs to no image: its channel `{channel}` is none of {all}; name yours with `channels: [{channel}, …]`"
            )
        }
        (None, _) => {
            let example = naming.example("<id>", "<channel>");
            format!("belongs to no image: its name is not `{example}`; if it should, give another `pattern`")
        }
    };
    let is_no_image = !has_image_extension(name) && !starts_as_image(path).unwrap_or(false);
    let (id, channel) = (String::new(), String::new());
    Some(BadImage { id, channel, file: label_inside(label, name), reason, is_no_image })
}

/// A file that has an image's place in the pattern, and is none by its extension and its first bytes.
pub(super) fn no_image(name: &str, label: &str) -> BadImage {
    let reason = "belongs to no image: neither its name nor its first bytes are those of one".to_owned();
    BadImage { id: String::new(), channel: String::new(), file: label_inside(label, name), reason, is_no_image: true }
}

/// Whether a file that fits the pattern is meant as an image: by its extension, or else by its first bytes. A pattern that names an
/// extension says it of all such files.
pub(super) fn may_be_image(naming: &Naming, name: &str, path: &Path) -> bool {
    if !naming.has_any_extension() || has_image_extension(name) {
        return true;
    }
    // A file that cannot be read is told as an image that cannot.
    starts_as_image(path).unwrap_or(true)
}

/// Whether the first bytes of a file are those of an image.
fn starts_as_image(path: &Path) -> std::io::Result<bool> {
    let mut head = Vec::new();
    File::open(path)?.take(FileType::HEAD as u64).read_to_end(&mut head)?;
    Ok(matches!(FileType::of(&head), FileType::Image(_) | FileType::OtherImage(_)))
}

/// Whether a name is that of an image, whatever the file holds.
fn has_image_extension(name: &str) -> bool {
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    let known = ["png", "jpg", "jpeg", "tif", "tiff", "bmp", "gif", "webp", "pnm", "pbm", "pgm", "ppm", "pam", "qoi"];
    known.iter().any(|known| extension.eq_ignore_ascii_case(known))
}

/// Whether a name is meant by another: in capitals, or by up to two edits.
fn is_near(name: &str, other: &str) -> bool {
    let (name, other) = (name.to_lowercase(), other.to_lowercase());
    let most = if name.len() < SHORTEST_WITH_TYPOS { 0 } else { NEAR.min(name.len() / 2) };
    name == other || strsim::damerau_levenshtein(&name, &other) <= most
}

#[cfg(test)]
mod tests {
    use super::super::DEFAULT_PATTERN;
    use super::*;

    #[test]
    fn what_is_hidden_is_no_data() {
        for name in ["._a_red.png", ".DS_Store", "deep/.cache/a_red.png", "__MACOSX/a_red.png", "Thumbs.db"] {
            assert!(is_hidden(name), "{name}");
        }
        assert!(!is_hidden("a.b_red.png") && !is_hidden("notes.txt"));
    }

    fn reason(channels: Option<&[&str]>, name: &str) -> Option<String> {
        let channels: Option<Vec<String>> = channels.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
        let naming = Naming::new(DEFAULT_PATTERN, channels.as_deref()).unwrap();
        unmatched(&naming, name, "imgs", Path::new("")).map(|bad| bad.reason)
    }

    #[test]
    fn misspelt_channels_get_a_suggestion() {
        let of_all = "is none of red, green, blue, yellow";
        for (name, right) in
            [("a_Green.png", "a_green.png"), ("a_gren.tif", "a_green.tif"), ("b_bleu.png", "b_blue.png")]
        {
            let channel = name.rsplit_once('_').unwrap().1.split_once('.').unwrap().0;
            let expected = format!("belongs to no image: its channel `{channel}` {of_all}; is it `{right}`?");
            assert_eq!(reason(None, name), Some(expected));
        }
        assert!(reason(None, "a_dapi.png").unwrap().ends_with("name yours with `channels: [dapi, …]`"));
        for name in ["notes.txt", "my_notes.txt", "c1.png"] {
            assert!(reason(None, name).unwrap().contains("its name is not `<id>_<channel>.*`"), "{name}");
        }
    }

    #[test]
    fn a_table_beside_the_images_is_named_and_no_mistake() {
        let is_no_image = |name: &str| unmatched(&Naming::default(), name, "imgs", Path::new("")).unwrap().is_no_image;
        assert!(is_no_image("labels.csv") && is_no_image("my_notes.txt") && !is_no_image("c1.png"));
    }

    #[test]
    fn channels_that_were_not_asked_for_are_no_mistake() {
        for name in ["a_blue.png", "1_2_dapi-1.tif", "a_far.red.png"] {
            assert_eq!(reason(Some(&["red"]), name), None, "{name}");
        }
        assert!(reason(Some(&["red"]), "a_Red.png").is_some());
        assert!(reason(Some(&["red"]), "notes.txt").is_some());
    }
}
