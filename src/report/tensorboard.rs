//! Curves as the event files that TensorBoard opens: a folder for each instance.
//!
//! A file is a row of records: length, checksum of it, a message of protocol buffers (`tensorflow.Event`), checksum of that. Checksums
//! are CRC-32C, rotated and shifted as TFRecord has it.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::Path;

use athanor_cache::{Cache, Digest};

use crate::plan::Plan;
use crate::report::results::KnownResults;
use crate::run::attempts::annex::Annex;

/// Polynomial of CRC-32C, reversed.
const POLYNOMIAL: u32 = 0x82f6_3b78;
/// Number that TFRecord adds to a rotated checksum.
const MASK_DELTA: u32 = 0xa282_ead8;

/// Most bytes of a folder's name.
const NAME_BYTES: usize = 255;
/// Digits of a digest that tell two names apart.
const DIGITS: usize = 8;

/// Writes the curves of these results below `folder`; returns the number of instances that have any.
pub(crate) fn write(folder: &Path, plan: &Plan, cache: &Cache, results: &KnownResults) -> io::Result<usize> {
    let mut written = 0;
    let names: Vec<&str> = plan.instances.iter().map(|instance| instance.name.as_str()).collect();
    for (instance, name) in plan.instances.iter().zip(folder_names(&names)) {
        let Some(record) = results.get(&instance.name).and_then(|result| result.record(cache)) else { continue };
        let annex = Annex::of(cache, &record);
        if annex.curves.is_empty() {
            continue;
        }
        let ended = record.finished_at.as_millisecond() as f64 / 1000.0;
        let mut file = framed(&event(ended, 0, &text(3, "brain.Event:2")));
        for (metric, points) in &annex.curves {
            for (step, value) in points {
                let of_metric = [text(1, metric), single(2, *value as f32)].concat();
                file.extend(framed(&event(ended, *step, &message(5, &message(1, &of_metric)))));
            }
        }
        let place = folder.join(name);
        fs::create_dir_all(&place)?;
        // One name for one result, so that writing it twice shows it once.
        fs::write(place.join(format!("events.out.tfevents.{:010}.athanor", record.finished_at.as_second())), file)?;
        written += 1;
    }
    Ok(written)
}

/// The names of the instances' folders. Curves of two instances in one folder would be taken for one curve, or overwrite each
/// other, so names that would be the same, or are longer than those of files, end with digits of a digest.
fn folder_names(instances: &[&str]) -> Vec<String> {
    let names: Vec<String> = instances.iter().map(|name| file_name(name)).collect();
    let mut counts: HashMap<&str, usize> = HashMap::new();
    names.iter().for_each(|name| *counts.entry(name).or_default() += 1);
    let told_apart = |(instance, name): (&&str, &String)| {
        if (counts[name.as_str()] == 1 || name == instance) && name.len() <= NAME_BYTES {
            return name.clone();
        }
        let digest = Digest::of(instance.as_bytes()).to_string();
        let begin = name.floor_char_boundary(NAME_BYTES - DIGITS - 1);
        format!("{}-{}", &name[..begin], &digest[..DIGITS])
    };
    instances.iter().zip(&names).map(told_apart).collect()
}

/// A name of an instance as that of one folder.
fn file_name(instance: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "[]=,._-+ ".contains(c);
    let name: String = instance.chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
    if name.starts_with('.') { format!("_{name}") } else { name }
}

/// A record with its length and its checksums.
fn framed(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    [&length[..], &masked(&length).to_le_bytes(), data, &masked(data).to_le_bytes()].concat()
}

fn event(wall_time: f64, step: u64, content: &[u8]) -> Vec<u8> {
    let time = [vec![tag(1, 1)], wall_time.to_le_bytes().to_vec()].concat();
    let step = [vec![tag(2, 0)], varint(step)].concat();
    [time, step, content.to_vec()].concat()
}

/// First byte of a field, of which number and type are small.
const fn tag(field: u8, kind: u8) -> u8 {
    field << 3 | kind
}

fn message(field: u8, content: &[u8]) -> Vec<u8> {
    [vec![tag(field, 2)], varint(content.len() as u64), content.to_vec()].concat()
}

fn text(field: u8, text: &str) -> Vec<u8> {
    message(field, text.as_bytes())
}

fn single(field: u8, value: f32) -> Vec<u8> {
    [vec![tag(field, 5)], value.to_le_bytes().to_vec()].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        // The cast keeps the lowest seven bits, and the bit that says that more follow.
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn masked(data: &[u8]) -> u32 {
    crc32c(data).rotate_right(15).wrapping_add(MASK_DELTA)
}

fn crc32c(data: &[u8]) -> u32 {
    let step = |crc: u32| if crc & 1 == 1 { crc >> 1 ^ POLYNOMIAL } else { crc >> 1 };
    let byte = |crc: u32, byte: &u8| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc));
    !data.iter().fold(!0, byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_and_numbers_are_as_defined() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283, "RFC 3720's check value");
        assert_eq!(varint(300), [0xac, 0x02], "the example of the definition of protocol buffers");
        // As TensorBoard's own writer begins a file.
        let version = framed(&event(1.5, 0, &text(3, "brain.Event:2")));
        assert_eq!(&version[..8], &26_u64.to_le_bytes());
        assert_eq!(&version[12..21], &[9, 0, 0, 0, 0, 0, 0, 0xf8, 0x3f]);
        assert!(version.ends_with(&masked(&version[12..version.len() - 4]).to_le_bytes()));
    }

    #[test]
    fn names_stay_below_their_folder() {
        assert_eq!(file_name("model[a=../x,fold=0]"), "model[a=.._x,fold=0]");
        assert_eq!(file_name("../.."), "_.._..");
    }

    #[test]
    fn each_instance_has_a_folder_of_its_own() {
        let long = format!("s[a={}]", "é".repeat(150));
        let instances = ["s[a=x/y]", "s[a=x:y]", "s[a=x_y]", "s[a=x]", &long];
        let names = folder_names(&instances);
        assert_eq!(names[2..4], ["s[a=x_y]", "s[a=x]"]);
        let different: std::collections::HashSet<&String> = names.iter().collect();
        assert_eq!(different.len(), instances.len(), "{names:?}");
        assert!(names.iter().all(|name| name.len() <= NAME_BYTES), "{names:?}");
        assert_eq!(names, folder_names(&instances));
    }
}
