//! Stored content in memory as it lies there: files that others are links to, so that who changes one changes it for everybody.

use std::collections::{BTreeMap, HashMap, HashSet};

use athanor_cache::{Artifact, ArtifactKind, Digest, InputState};

use super::made::{Entries, Made};
use super::spoils::{ADDED, Spoil};

type File = usize;

/// Files and folders by what they should hold.
#[derive(Default)]
pub(crate) struct Shelf {
    /// What each file holds now.
    files: Vec<Vec<u8>>,
    objects: HashMap<Digest, File>,
    folders: HashMap<Digest, BTreeMap<String, Option<File>>>,
    /// What folders should hold.
    manifests: HashMap<Digest, Entries>,
    /// What was found changed, in order.
    incidents: Vec<Digest>,
    /// Folders whose entries somebody changed, in order; their times tell, even of what was changed back.
    moves: Vec<Digest>,
    /// Stored files that stages have written to, and folders that they have changed.
    spoilt: HashSet<Digest>,
}

/// What something holds, as the cache would say.
pub(crate) fn artifact(made: &Made) -> Artifact {
    match made {
        Made::File(content) => {
            Artifact { kind: ArtifactKind::File, digest: Digest::of(content), bytes: content.len() as u64, files: 1 }
        }
        Made::Folder(entries) => Artifact {
            kind: ArtifactKind::Folder,
            digest: Digest::of(format!("{entries:?}").as_bytes()),
            bytes: entries.values().flatten().map(|content| content.len() as u64).sum(),
            files: entries.values().flatten().count() as u64,
        },
    }
}

/// The digests by which the content of an artifact is stored.
pub(crate) fn digests(made: &Made) -> HashSet<Digest> {
    let files = match made {
        Made::File(_) => HashSet::new(),
        Made::Folder(entries) => entries.values().flatten().map(|content| Digest::of(content)).collect(),
    };
    files.into_iter().chain([artifact(made).digest]).collect()
}

impl Shelf {
    /// Stores something; what is there and is not right is replaced.
    pub(crate) fn store(&mut self, made: &Made) -> Artifact {
        let artifact = artifact(made);
        match made {
            Made::File(content) => self.store_file(content),
            Made::Folder(entries) => {
                entries.values().flatten().for_each(|content| self.store_file(content));
                self.manifests.insert(artifact.digest, entries.clone());
                match self.judge(&artifact.digest) {
                    Judgement::Missing => self.link(&artifact.digest),
                    _ => drop(self.put_in_order(&artifact.digest)),
                }
            }
        }
        artifact
    }

    fn store_file(&mut self, content: &[u8]) {
        let digest = Digest::of(content);
        if self.is_right(&digest) {
            return;
        }
        if self.objects.contains_key(&digest) {
            self.incidents.push(digest);
        }
        self.files.push(content.to_vec());
        self.objects.insert(digest, self.files.len() - 1);
    }

    fn is_right(&self, digest: &Digest) -> bool {
        self.objects.get(digest).is_some_and(|file| Digest::of(&self.files[*file]) == *digest)
    }

    /// What lies where an artifact should; `None` if nothing does.
    pub(crate) fn seen(&self, artifact: &Artifact) -> Option<Made> {
        if artifact.kind != ArtifactKind::Folder {
            return self.objects.get(&artifact.digest).map(|file| Made::File(self.files[*file].clone()));
        }
        let content =
            |(path, file): (&String, &Option<File>)| (path.clone(), file.map(|file| self.files[file].clone()));
        self.folders.get(&artifact.digest).map(|folder| Made::Folder(folder.iter().map(content).collect()))
    }

    /// A stage does something to what lies there.
    pub(crate) fn spoil(&mut self, artifact: &Artifact, spoil: Spoil) {
        let folder = self.folders.get_mut(&artifact.digest).filter(|_| artifact.kind == ArtifactKind::Folder);
        let touched: Vec<File> = match (folder, spoil) {
            (None, Spoil::Alter) => self.objects.get(&artifact.digest).into_iter().copied().collect(),
            (Some(folder), Spoil::Alter) => folder.values().flatten().copied().collect(),
            (Some(folder), Spoil::Remove) => {
                self.moves.push(artifact.digest);
                folder.retain(|_, file| file.is_none());
                self.spoilt.insert(artifact.digest);
                Vec::new()
            }
            (Some(folder), Spoil::Add) => {
                self.moves.push(artifact.digest);
                self.files.push(b"added".to_vec());
                folder.insert(ADDED.to_owned(), Some(self.files.len() - 1));
                self.spoilt.insert(artifact.digest);
                Vec::new()
            }
            _ => Vec::new(),
        };
        for file in touched {
            self.spoilt.extend(self.objects.iter().filter(|(_, object)| **object == file).map(|(digest, _)| *digest));
            self.spoilt.insert(artifact.digest);
            self.files[file].extend(b"spoilt");
        }
    }

    /// A new run begins, of which it is asked what it has spoilt.
    pub(crate) fn forget_spoilt(&mut self) {
        self.spoilt.clear();
    }

    /// What stages have written to so far, by what it should hold.
    pub(crate) fn spoilt(&self) -> &HashSet<Digest> {
        &self.spoilt
    }

    /// How many things were found changed so far.
    pub(crate) fn incident_mark(&self) -> usize {
        self.incidents.len()
    }

    /// What was found changed after so many others.
    pub(crate) fn incidents_since(&self, mark: usize) -> &[Digest] {
        &self.incidents[mark..]
    }

    /// Whether two artifacts have files in common.
    pub(crate) fn share_content(&self, one: &Artifact, other: &Artifact) -> bool {
        let files = |artifact: &Artifact| -> HashSet<Digest> {
            match self.manifests.get(&artifact.digest) {
                Some(entries) => entries.values().flatten().map(|content| Digest::of(content)).collect(),
                None => HashSet::from([artifact.digest]),
            }
        };
        one.digest == other.digest || !files(one).is_disjoint(&files(other))
    }

    /// Whether an artifact is there and right, or can be made what it was.
    pub(crate) fn is_whole(&self, artifact: &Artifact) -> bool {
        match artifact.kind {
            ArtifactKind::Folder => !matches!(self.judge(&artifact.digest), Judgement::Missing | Judgement::Lost(_)),
            _ => self.is_right(&artifact.digest),
        }
    }

    /// As [`Shelf::is_whole`]; a folder that was changed is made what it was.
    pub(crate) fn is_present(&mut self, artifact: &Artifact) -> bool {
        if artifact.kind == ArtifactKind::Folder && self.folders.contains_key(&artifact.digest) {
            self.put_in_order(&artifact.digest);
        }
        self.is_whole(artifact)
    }

    /// How often folders were changed so far.
    pub(crate) fn move_mark(&self) -> usize {
        self.moves.len()
    }

    /// How an input is found when the stage that read it since the mark `began` has ended; it is put in order.
    pub(crate) fn check_input(&mut self, artifact: &Artifact, began: usize) -> InputState {
        if artifact.kind == ArtifactKind::Folder {
            let state = self.put_in_order(&artifact.digest);
            if state == InputState::Intact && self.moves[began..].contains(&artifact.digest) {
                self.incidents.push(artifact.digest);
                return InputState::Touched;
            }
            return state;
        }
        if self.is_right(&artifact.digest) {
            return InputState::Intact;
        }
        self.objects.remove(&artifact.digest);
        self.incidents.push(artifact.digest);
        InputState::Changed { paths: Vec::new(), lost: true }
    }

    fn judge(&self, digest: &Digest) -> Judgement {
        let wanted = &self.manifests[digest];
        let files: HashSet<Digest> = wanted.values().flatten().map(|content| Digest::of(content)).collect();
        let lost: Vec<Digest> = files.into_iter().filter(|file| !self.is_right(file)).collect();
        let Some(folder) = self.folders.get(digest) else {
            return if lost.is_empty() { Judgement::Missing } else { Judgement::Lost(lost) };
        };
        let holds = |path: &String, content: &Option<Vec<u8>>| {
            folder.get(path).is_some_and(|file| file.map(|file| &self.files[file]) == content.as_ref())
        };
        match wanted.iter().all(|(path, content)| holds(path, content)) {
            true if folder.len() == wanted.len() => Judgement::Intact,
            true => Judgement::Added,
            false if lost.is_empty() => Judgement::Changed,
            false => Judgement::Lost(lost),
        }
    }

    /// Makes a folder what it should be, if the stored files that it consists of are right; otherwise it goes, with those that
    /// are not.
    fn put_in_order(&mut self, digest: &Digest) -> InputState {
        let judgement = self.judge(digest);
        if matches!(judgement, Judgement::Intact) {
            return InputState::Intact;
        }
        self.incidents.push(*digest);
        if let Judgement::Lost(lost) = judgement {
            self.incidents.extend(&lost);
            self.objects.retain(|digest, _| !lost.contains(digest));
            self.folders.remove(digest);
            return InputState::Changed { paths: vec![String::new()], lost: true };
        }
        self.link(digest);
        match judgement {
            Judgement::Added => InputState::Added(vec![ADDED.to_owned()]),
            _ => InputState::Changed { paths: vec![String::new()], lost: false },
        }
    }

    /// Makes a folder of the stored files that it should consist of.
    fn link(&mut self, digest: &Digest) {
        let object = |content: &Vec<u8>| self.objects[&Digest::of(content)];
        let entries = self.manifests[digest].iter();
        let folder = entries.map(|(path, content)| (path.clone(), content.as_ref().map(object))).collect();
        self.folders.insert(*digest, folder);
    }
}

/// How a folder is found.
enum Judgement {
    Intact,
    /// Something is in it that should not be.
    Added,
    /// Something else is in it, and all it should consist of is stored.
    Changed,
    /// Nothing lies there, and all it should consist of is stored.
    Missing,
    /// These stored files are not there or not right.
    Lost(Vec<Digest>),
}
