//! Reading inputs that must not lead out of the source folder.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};

use crate::error::{Error, Item, Result};

/// A folder that paths from data are resolved in and cannot leave, symbolic links included.
#[derive(Debug, Clone)]
pub struct SourceRoot {
    /// Resolved, as the system names open files.
    root: PathBuf,
}

impl SourceRoot {
    /// Resolves the folder.
    ///
    /// # Errors
    /// `Spec` when it is not a readable folder.
    pub fn open(root: &Path) -> Result<Self> {
        let wrong = |why: String| Error::Spec(format!("source folder {}: {why}", root.display()));
        let resolved = fs::canonicalize(root).map_err(|e| wrong(e.to_string()))?;
        if !resolved.is_dir() {
            return Err(wrong("not a folder".into()));
        }
        Ok(Self { root: resolved })
    }

    /// Reads a whole file into `data`.
    ///
    /// # Errors
    /// `Read` when it cannot be read or is not a regular file inside the folder; `Limit` when it has
    /// more than `max_bytes`.
    pub fn read(&self, path: &str, max_bytes: u64, data: &mut Vec<u8>) -> Result<()> {
        let (file, bytes) = self.open_file(path)?;
        data.clear();
        if bytes <= max_bytes {
            data.reserve(bytes as usize + 1);
            // The file may have grown since; the cap holds all the same.
            file.take(max_bytes.saturating_add(1)).read_to_end(data).map_err(cannot_read)?;
        }
        let found = bytes.max(data.len() as u64);
        if found > max_bytes {
            let what = "file size in bytes";
            return Err(Error::Limit { item: Item::default(), what, found, limit: max_bytes });
        }
        Ok(())
    }

    /// Reads the first `most` bytes of a file into `data`; returns the size of the file.
    ///
    /// # Errors
    /// `Read` as for [`SourceRoot::read`].
    pub fn read_start(&self, path: &str, most: u64, data: &mut Vec<u8>) -> Result<u64> {
        let (file, bytes) = self.open_file(path)?;
        data.clear();
        data.reserve(bytes.min(most) as usize + 1);
        file.take(most).read_to_end(data).map_err(cannot_read)?;
        Ok(bytes)
    }

    /// Opens without blocking on pipes, then asks the system what was opened: a check before opening
    /// could be raced, and costs a call per folder.
    fn open_file(&self, path: &str) -> Result<(File, u64)> {
        check_plain(path)?;
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
            .open(self.root.join(path))
            .map_err(cannot_read)?;
        let about = file.metadata().map_err(cannot_read)?;
        if !about.is_file() {
            return Err(refused("not a regular file"));
        }
        let link = format!("/proc/self/fd/{}", file.as_raw_fd());
        let resolved = fs::read_link(link).or_else(|_| fs::canonicalize(self.root.join(path)));
        if !resolved.map_err(cannot_read)?.starts_with(&self.root) {
            return Err(refused("the path leads out of the source folder"));
        }
        Ok((file, about.len()))
    }
}

/// Refuses what no planned path holds before the system sees it.
fn check_plain(path: &str) -> Result<()> {
    let mut parts = Path::new(path).components().peekable();
    if parts.peek().is_none() {
        return Err(refused("the path is empty"));
    }
    if parts.any(|part| !matches!(part, Component::Normal(_) | Component::CurDir)) {
        return Err(refused("the path leads out of the source folder"));
    }
    Ok(())
}

fn cannot_read(source: io::Error) -> Error {
    Error::Read { item: Item::default(), source }
}

fn refused(why: &str) -> Error {
    cannot_read(io::Error::new(io::ErrorKind::PermissionDenied, why))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn world() -> (tempfile::TempDir, SourceRoot) {
        let folder = tempfile::tempdir().unwrap();
        let (root, outside) = (folder.path().join("root"), folder.path().join("outside"));
        fs::create_dir_all(root.join("in")).unwrap();
        fs::create_dir_all(&outside).unwrap();
        // A name that merely begins like the root.
        fs::create_dir_all(folder.path().join("root-2")).unwrap();
        fs::write(root.join("in/a.png"), b"inside").unwrap();
        fs::write(outside.join("secret"), b"outside").unwrap();
        fs::write(folder.path().join("root-2/secret"), b"outside").unwrap();
        let source = SourceRoot::open(&root).unwrap();
        (folder, source)
    }

    fn refusal(source: &SourceRoot, path: &str) -> String {
        let error = source.read(path, 100, &mut Vec::new()).unwrap_err();
        assert_eq!(error.stage(), "read", "{error}");
        error.to_string()
    }

    #[test]
    fn files_inside_are_read_also_through_links_that_stay_inside() {
        let (folder, source) = world();
        symlink("in/a.png", folder.path().join("root/link.png")).unwrap();
        symlink(folder.path().join("root/in"), folder.path().join("root/again")).unwrap();
        let mut data = Vec::new();
        for path in ["in/a.png", "./in/a.png", "link.png", "again/a.png"] {
            source.read(path, 100, &mut data).unwrap();
            assert_eq!(data, b"inside", "{path}");
        }
    }

    #[test]
    fn no_path_leads_out() {
        let (folder, source) = world();
        let root = folder.path().join("root");
        symlink("../outside/secret", root.join("link")).unwrap();
        symlink("../outside", root.join("folder")).unwrap();
        symlink("../root-2", root.join("sibling")).unwrap();
        symlink("link", root.join("twice")).unwrap();
        let absolute = folder.path().join("outside/secret");
        for path in [
            "../outside/secret",
            "in/../../outside/secret",
            absolute.to_str().unwrap(),
            "/etc/passwd",
            "link",
            "twice",
            "folder/secret",
            "sibling/secret",
        ] {
            assert!(refusal(&source, path).contains("leads out of the source folder"), "{path}");
        }
    }

    #[test]
    fn odd_paths_are_errors_and_never_hang() {
        let (folder, source) = world();
        symlink("loop", folder.path().join("root/loop")).unwrap();
        let fifo = folder.path().join("root/fifo");
        assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        let long = "n".repeat(5000);
        for path in ["", "in", "fifo", "loop", "a\0b", "missing.png", &long] {
            let message = refusal(&source, path);
            assert!(message.starts_with("cannot read: "), "{message}");
        }
    }

    #[test]
    fn the_size_cap_holds_at_its_value() {
        let (_folder, source) = world();
        let mut data = Vec::new();
        source.read("in/a.png", 6, &mut data).unwrap();
        let error = source.read("in/a.png", 5, &mut data).unwrap_err();
        assert_eq!(error.to_string(), "file size in bytes is 6, over the limit of 5");
        assert_eq!(source.read_start("in/a.png", 2, &mut data).unwrap(), 6);
        assert_eq!(data, b"in");
    }
}
