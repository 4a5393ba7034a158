//! `pack_images`: an image set as decoded pixels that training reads without decoding.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use athanor_cache::{Digest, ItemFile};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::artifact::image_set::{BadImage, ImageFile, ImageSet, ImageSetInput, OnBad, fail_if_bad, write_skipped};
use crate::artifact::packed_images::{IndexRow, PackedImage, PackedImagesOutput, Planes, Shard, write_shard};
use crate::artifact::table::TableOutput;
use crate::context::StageContext;
use crate::error::StageError;
use crate::image_sets::read_options::{FaintImages, ReadOptions};
use crate::items::{ItemCache, OnFailure, PerItem};
use crate::kind::StageKind;
use crate::params::{ParamProblem, Parameters};
use crate::ports::OutputValue;
use crate::words::counted;
use crate::{input_ports, output_ports};
use athanor_images::decode::Page;
use athanor_images::pixels::{Pixels, Samples};

/// The kind `pack_images`.
pub struct PackImages;

/// Parameters of [`PackImages`].
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct PackImagesParams {
    /// Approximate number of images in a file.
    #[serde(default = "images_per_shard")]
    #[schemars(range(min = 1))]
    pub images_per_shard: usize,
    /// Options for reading the images.
    #[serde(flatten)]
    pub reading: ReadOptions,
}

fn images_per_shard() -> usize {
    16
}

impl Parameters for PackImagesParams {
    fn check(&self) -> Vec<ParamProblem> {
        let mut problems = self.reading.check();
        if self.images_per_shard == 0 {
            problems.push(ParamProblem::value("images_per_shard", "there must be at least one image in a file"));
        }
        problems
    }
}

input_ports! {
    /// Inputs of [`PackImages`].
    pub struct PackImagesInputs {
        /// Image set, or folder of images. All channels of an image must have the same size.
        images: ImageSetInput,
    }
}

output_ports! {
    /// Outputs of [`PackImages`].
    pub struct PackImagesOutputs {
        /// Pixels, 8 bits a sample.
        packed: PackedImagesOutput = "packed",
        /// Images left out: `Id,channel,file,reason`.
        skipped: TableOutput = "skipped.csv",
    }
}

impl StageKind for PackImages {
    type Params = PackImagesParams;
    type Inputs = PackImagesInputs;
    type Outputs = PackImagesOutputs;

    const NAME: &'static str = "pack_images";
    const REVISION: u32 = 6;
    const DOC: &'static str = "Decodes an image set into memory-mapped safetensors files, from which any crop is read without decoding.\n\nThe file of an image depends on its id alone, so that a new image changes one file; the others in that file are copied, not decoded again.";
    const USES_ALL_CPUS: bool = true;
    const RESUMES: bool = true;

    fn run(
        params: PackImagesParams,
        inputs: PackImagesInputs,
        outputs: PackImagesOutputs,
        context: &StageContext<'_>,
    ) -> Result<(), StageError> {
        let items = ItemCache::of::<Self>(context)?;
        let (set, mut bad) = params.reading.read(&inputs.images, context)?;
        let (copied, decoded) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let pack = Pack {
            reading: &params.reading,
            channels: &set.channels,
            items: &items,
            copied,
            decoded,
            faint: FaintImages::default(),
        };
        let shards = shards_of(&set, params.images_per_shard);
        let names: Vec<&String> = shards.keys().collect();
        let members: Vec<Vec<Member<'_>>> = shards.values().cloned().collect();
        let packed = items.compute(&pack, &members, OnFailure::Stop)?;
        let [decoded, copied] = [&pack.decoded, &pack.copied].map(|count| count.load(Ordering::Relaxed));
        context.log(format!("{} decoded, {copied} copied from earlier shards", counted(decoded, "image")));
        pack.faint.log(context);
        let mut index = Vec::with_capacity(set.ids.len());
        for ((name, members), packed) in names.into_iter().zip(&members).zip(packed) {
            let packed = packed?;
            let file = format!("{name}.safetensors");
            for stored in &packed.files {
                items.place(stored, &outputs.packed.path().join(&file))?;
                pack.remember(members, &packed.value, stored)?;
            }
            for (member, outcome) in members.iter().zip(packed.value) {
                match outcome {
                    Outcome::Packed { shape: [_, height, width], .. } => {
                        index.push(IndexRow { id: member.id.to_owned(), shard: file.clone(), height, width });
                    }
                    Outcome::Bad { channel, reason } => bad.push(member.bad(channel, reason)),
                }
            }
        }
        bad.sort_by(|left, right| (&left.id, &left.channel).cmp(&(&right.id, &right.channel)));
        if params.reading.on_bad == OnBad::Error || index.is_empty() {
            fail_if_bad(&bad, params.reading.on_bad)?;
        }
        index.sort_by(|left, right| left.id.cmp(&right.id));
        outputs.packed.write_index(&index)?;
        write_skipped(&outputs.skipped, &bad)
    }
}

/// The images of each shard by the shard's name. The number of shards is a power of two, so that it rarely changes; an
/// image's shard is given by the first bits of its id's digest.
fn shards_of(set: &ImageSet, images_per_shard: usize) -> BTreeMap<String, Vec<Member<'_>>> {
    let count = set.ids.len().div_ceil(images_per_shard).next_power_of_two();
    let mut shards: BTreeMap<String, Vec<Member<'_>>> = BTreeMap::new();
    // A set without images, as of a download of which every file was skipped, has no channels.
    for (id, files) in set.ids.iter().zip(set.files.chunks(set.channels.len().max(1))) {
        let digest = Digest::of(id.as_bytes()).to_string();
        let head = usize::from_str_radix(&digest[..8], 16).unwrap_or_default();
        shards.entry(format!("{:05}", head % count)).or_default().push(Member { id, files });
    }
    shards
}

/// An image in a shard.
#[derive(Debug, Clone)]
struct Member<'s> {
    id: &'s str,
    /// A file a channel.
    files: &'s [ImageFile],
}

impl Member<'_> {
    fn bad(&self, channel: usize, reason: String) -> BadImage {
        let file = &self.files[channel];
        BadImage {
            id: self.id.to_owned(),
            channel: file.channel.clone(),
            file: file.label.clone(),
            reason,
            is_no_image: false,
        }
    }
}

/// Result of packing an image.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    /// It is in the shard.
    Packed { shape: [usize; 3], digest: Digest },
    /// It cannot be: the channel at fault, and why.
    Bad { channel: usize, reason: String },
}

/// Packs one shard.
struct Pack<'p> {
    reading: &'p ReadOptions,
    channels: &'p [String],
    items: &'p ItemCache<'p>,
    copied: AtomicUsize,
    decoded: AtomicUsize,
    faint: FaintImages,
}

impl<'s> PerItem for Pack<'s> {
    type Item = Vec<Member<'s>>;
    type Value = Vec<Outcome>;
    const UNIT: &'static str = "shards";

    fn key(&self, members: &Vec<Member<'s>>) -> Value {
        let members = members.iter().map(|member| json!([member.id, self.content(member)]));
        json!({ "channels": self.channels, "images": members.collect::<Vec<Value>>() })
    }

    fn compute(&self, members: &Vec<Member<'s>>, folder: &Path) -> Result<Vec<Outcome>, StageError> {
        let (mut outcomes, mut images) = (Vec::with_capacity(members.len()), Vec::with_capacity(members.len()));
        for member in members {
            let planes = match self.known(member) {
                Some(planes) => {
                    self.copied.fetch_add(1, Ordering::Relaxed);
                    Ok(planes)
                }
                None => {
                    self.decoded.fetch_add(1, Ordering::Relaxed);
                    self.decode(member)?
                }
            };
            match planes {
                Ok(planes) => {
                    outcomes.push(Outcome::Packed { shape: planes.shape, digest: Digest::of(&planes.bytes) });
                    images.push(PackedImage { id: member.id.to_owned(), planes });
                }
                Err(Fault { channel, reason, .. }) if self.reading.on_bad == OnBad::Skip => {
                    outcomes.push(Outcome::Bad { channel, reason });
                }
                Err(Fault { channel, reason, help: Some(help) }) => {
                    return Err(StageError::in_file(&member.files[channel].label, reason).with_help(help));
                }
                Err(Fault { channel, reason, help: None }) => {
                    return fail_if_bad(&[member.bad(channel, reason)], OnBad::Error).map(|()| outcomes);
                }
            }
        }
        if !images.is_empty() {
            write_shard(&folder.join("shard"), self.channels, &images)?;
        }
        Ok(outcomes)
    }
}

/// The channel of an image that cannot be packed.
struct Fault {
    channel: usize,
    reason: String,
    /// Advice, where there is any beyond that for all bad images.
    help: Option<String>,
}

impl Pack<'_> {
    /// Everything that an image's pixels depend on.
    fn content(&self, member: &Member<'_>) -> Value {
        let files = member.files.iter().map(|file| json!([file.digest, self.reading.key(&file.channel)]));
        files.collect()
    }

    /// The key of the place of an image's pixels.
    fn place_key(&self, member: &Member<'_>) -> Digest {
        self.items.key(json!({ "pixels": self.content(member) }))
    }

    /// The pixels of an image that stands in a stored shard.
    fn known(&self, member: &Member<'_>) -> Option<Planes> {
        let place = self.items.find::<(String, Digest)>(&self.place_key(member))?;
        let (id, digest) = place.value;
        let path = self.items.path_of(place.files.first()?)?;
        let shard = Shard::open(&path, "").ok()?;
        let (shape, bytes) = shard.planes(&id)?;
        (Digest::of(bytes) == digest).then(|| Planes { shape, bytes: bytes.to_vec() })
    }

    /// Records the places of the pixels of a shard's images.
    fn remember(&self, members: &[Member<'_>], outcomes: &[Outcome], shard: &ItemFile) -> Result<(), StageError> {
        for (member, outcome) in members.iter().zip(outcomes) {
            let Outcome::Packed { digest, .. } = outcome else { continue };
            let key = self.place_key(member);
            let known = self.items.find::<(String, Digest)>(&key);
            if known.is_none_or(|known| known.files.first() != Some(shard)) {
                self.items.insert_shared(&key, (member.id, digest), std::slice::from_ref(shard))?;
            }
        }
        Ok(())
    }

    fn decode(&self, member: &Member<'_>) -> Result<Result<Planes, Fault>, StageError> {
        let mut planes = Planes { shape: [member.files.len(), 0, 0], bytes: Vec::new() };
        // One file may hold all channels.
        let mut decoded: Option<(Digest, Pixels)> = None;
        for (channel, file) in member.files.iter().enumerate() {
            let whole = match decoded.take() {
                Some((digest, pixels)) if digest == file.digest => Ok(pixels),
                _ => file
                    .read()
                    .and_then(|bytes| self.reading.decode_colours(file, &bytes, Page::Only))
                    .map(|(_, pixels)| pixels),
            };
            let pixels = whole.and_then(|whole| {
                let more = member.files.get(channel + 1).is_some_and(|next| next.digest == file.digest);
                decoded = more.then(|| (file.digest, whole.clone()));
                self.reading.channel_of(file, whole)
            });
            let pixels = match pixels {
                Ok(pixels) => {
                    self.faint.see(self.reading, &pixels);
                    pixels.to_u8()
                }
                Err(StageError::Input { message, help, .. }) => {
                    return Ok(Err(Fault { channel, reason: message, help }));
                }
                Err(other) => return Err(other),
            };
            let [_, height, width] = planes.shape;
            if channel > 0 && (pixels.height, pixels.width) != (height, width) {
                let reason = format!(
                    "has {} x {} pixels, but the channel `{}` of the image has {width} x {height}",
                    pixels.width, pixels.height, member.files[0].channel
                );
                return Ok(Err(Fault { channel, reason, help: None }));
            }
            planes.shape = [member.files.len(), pixels.height, pixels.width];
            if let Samples::U8(samples) = pixels.samples {
                planes.bytes.extend(samples);
            }
        }
        Ok(Ok(planes))
    }
}
