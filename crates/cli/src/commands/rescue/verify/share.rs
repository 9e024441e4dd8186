//! Which part of the packs is read, and how far that is.

use std::{
    collections::BTreeMap,
    io::Write as _,
    path::{Path, PathBuf},
    str::FromStr,
};

use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use coffer_store::{PackId, Share};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::exit::Failure;

/// A part of the packs.
#[derive(Debug, Args)]
pub(super) struct Wanted {
    /// Read only share N of M of the packs, such as 1/7; M runs with N from 1 to M read everything
    #[arg(long, value_name = "N/M", conflicts_with = "sample")]
    share: Option<Numbered>,
    /// Read only so much of the packs, chosen at random, such as 5%
    #[arg(long, value_name = "P%")]
    sample: Option<Sample>,
}

#[derive(Debug, Clone, Copy)]
struct Numbered(Share);

/// Hundredths of a percent.
#[derive(Debug, Clone, Copy)]
struct Sample(u32);

impl FromStr for Numbered {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (number, of) = text.split_once('/').context("not N/M, such as 1/7")?;
        Ok(Self(Share::new(number.trim().parse()?, of.trim().parse()?)?))
    }
}

impl FromStr for Sample {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = text.strip_suffix('%').context("not a percentage, such as 5%")?;
        let (whole, rest) = number.split_once('.').unwrap_or((number, ""));
        if rest.len() > 2 {
            bail!("not more than two digits after the point");
        }
        let hundredths: u32 = if rest.is_empty() { 0 } else { format!("{rest:0<2}").parse()? };
        let parts = whole.parse::<u32>()?.saturating_mul(100).saturating_add(hundredths);
        // Refused here, where the mistake is.
        Share::sample(parts, 0)?;
        Ok(Self(parts))
    }
}

impl Wanted {
    pub(super) fn is_given(&self) -> bool {
        self.share.is_some() || self.sample.is_some()
    }

    fn choose(&self) -> anyhow::Result<Share> {
        Ok(match (self.share, self.sample) {
            (Some(Numbered(share)), _) => share,
            (None, Some(Sample(parts))) => {
                let [a, b, c, d, ..] = *Uuid::new_v4().as_bytes();
                Share::sample(parts, u32::from_be_bytes([a, b, c, d]))?
            }
            (None, None) => Share::ALL,
        })
    }

    /// Whether a share that was chosen earlier is what is wanted now.
    fn allows(&self, share: Share) -> bool {
        match (self.share, self.sample) {
            (Some(Numbered(wanted)), _) => wanted == share,
            (None, _) => true,
        }
    }
}

/// How far the reading of a share is.
#[derive(Debug)]
pub(super) struct ReadState {
    path: Option<PathBuf>,
    kept: Kept,
}

/// The state as it stands in its file.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    share: Share,
    repositories: BTreeMap<Uuid, Position>,
}

#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Position {
    after: Option<PackId>,
    done: bool,
}

impl ReadState {
    /// The state of the file if there is one, else the beginning.
    pub(super) fn open(wanted: &Wanted, path: Option<&Path>) -> Result<Self, Failure> {
        let kept = path.map(read).transpose().map_err(Failure::Request)?.flatten();
        let kept = match kept {
            Some(kept) if wanted.allows(kept.share) => kept,
            Some(_) => {
                return Err(Failure::Usage(anyhow!(
                    "the file of --state is of another share; end that run first, or name another file"
                )));
            }
            None => Kept {
                share: wanted.choose().map_err(Failure::Usage)?,
                repositories: BTreeMap::new(),
            },
        };
        Ok(Self { path: path.map(Path::to_owned), kept })
    }

    pub(super) fn share(&self) -> Share {
        self.kept.share
    }

    /// Where to go on in a repository; nothing when all of the share was read.
    pub(super) fn position(&self, repository: Uuid) -> Option<Option<PackId>> {
        let position = self.kept.repositories.get(&repository).copied().unwrap_or_default();
        (!position.done).then_some(position.after)
    }

    /// Keeps how far it is in a repository.
    pub(super) fn set(
        &mut self,
        repository: Uuid,
        after: Option<PackId>,
        done: bool,
    ) -> Result<(), Failure> {
        self.kept.repositories.insert(repository, Position { after, done });
        match &self.path {
            Some(path) => write(path, &self.kept).map_err(Failure::Request),
            None => Ok(()),
        }
    }

    /// Removes the file when every repository was read to the end.
    pub(super) fn finish(self) -> Result<(), Failure> {
        if let Some(path) = self.path
            && self.kept.repositories.values().all(|position| position.done)
            && path.exists()
        {
            std::fs::remove_file(&path)
                .with_context(|| format!("failed to remove {}", path.display()))
                .map_err(Failure::Request)?;
        }
        Ok(())
    }
}

fn read(path: &Path) -> anyhow::Result<Option<Kept>> {
    let text = match std::fs::read(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        text => text.with_context(|| format!("failed to read {}", path.display()))?,
    };
    let kept = serde_json::from_slice(&text)
        .with_context(|| format!("{} is no state of a verification", path.display()))?;
    Ok(Some(kept))
}

/// By rename, so that a killed run leaves one state or the other.
fn write(path: &Path, kept: &Kept) -> anyhow::Result<()> {
    let failed = || format!("failed to write {}", path.display());
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let mut file = tempfile::NamedTempFile::new_in(directory.unwrap_or(Path::new(".")))
        .with_context(failed)?;
    file.write_all(&serde_json::to_vec(kept)?).with_context(failed)?;
    file.persist(path).with_context(failed)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_and_samples_are_understood_or_refused() {
        for good in ["1/7", "7/7", " 1 / 1 "] {
            assert!(good.parse::<Numbered>().is_ok(), "{good}");
        }
        for bad in ["", "1", "0/7", "8/7", "1/0", "a/b", "-1/2"] {
            assert!(bad.parse::<Numbered>().is_err(), "{bad}");
        }
        for (text, parts) in [("5%", 500), ("0.5%", 50), ("12.34%", 1234), ("100%", 10_000)] {
            assert_eq!(text.parse::<Sample>().ok().map(|sample| sample.0), Some(parts), "{text}");
        }
        for bad in ["5", "0%", "101%", "0.001%", "%", "-5%", "4294967297%"] {
            assert!(bad.parse::<Sample>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_state_is_kept_until_everything_was_read() -> anyhow::Result<()> {
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("state");
        let sample = Wanted { share: None, sample: Some(Sample(500)) };
        let open = |wanted| ReadState::open(wanted, Some(&path)).map_err(|_| anyhow!("refused"));
        let (one, other) = (Uuid::new_v4(), Uuid::new_v4());
        let pack: PackId = "0000000000000001000000000000000a".parse()?;
        let mut state = open(&sample)?;
        let share = state.share();
        let kept = |result: Result<(), Failure>| result.map_err(|_| anyhow!("not kept"));
        kept(state.set(one, Some(pack), false))?;
        let mut state = open(&sample)?;
        assert_eq!(state.share(), share, "chosen once");
        assert_eq!((state.position(one), state.position(other)), (Some(Some(pack)), Some(None)));
        let numbered = Wanted { share: Some(Numbered(Share::ALL)), sample: None };
        assert!(open(&numbered).is_err(), "another share");
        kept(state.set(one, None, true))?;
        kept(state.set(other, Some(pack), false))?;
        kept(state.finish())?;
        let mut state = open(&sample)?;
        assert_eq!(state.position(one), None);
        kept(state.set(other, None, true))?;
        kept(state.finish())?;
        assert!(!path.exists());
        Ok(())
    }
}
