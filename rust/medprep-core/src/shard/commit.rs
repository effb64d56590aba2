//! The commit protocol: temporary sibling, sync, rename, sync of the folder.
//!
//! Nothing half-written is ever visible under a final name, whatever kills the process. There are
//! no locks: of two writers of the same name the last rename wins, with the same bytes.

use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, Result};

/// The middle of every temporary name: `.<final>.tmp-<host>-<pid>-<nonce>`.
const MARK: &str = ".tmp-";

/// Turns an I/O error into a [`Error::Storage`] that says what was being done to which file.
pub(crate) fn storage(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Storage { path: path.to_owned(), action, source }
}

/// A file that gets its name when it is whole; dropped before that, it vanishes.
#[derive(Debug)]
pub struct TempFile {
    file: File,
    temp: PathBuf,
    path: PathBuf,
    committed: AtomicBool,
}

impl TempFile {
    /// Creates the temporary sibling of `path`.
    ///
    /// # Errors
    /// `Storage`.
    pub fn create(path: &Path) -> Result<Self> {
        let temp = path.with_file_name(temp_name(path));
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&temp)
            .map_err(storage(path, "create"))?;
        Ok(Self { file, temp, path: path.to_owned(), committed: AtomicBool::new(false) })
    }

    /// Writes at a place of its own; threads may write different places at the same time.
    ///
    /// # Errors
    /// `Storage`.
    pub fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        self.file.write_all_at(bytes, offset).map_err(storage(&self.path, "write"))
    }

    /// The open file, for reading back.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// The name the file will have.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the file durable, then visible, then its name durable.
    ///
    /// # Errors
    /// `Storage`; before the rename the final name is untouched.
    pub fn commit(&self) -> Result<()> {
        self.file.sync_all().map_err(storage(&self.path, "sync"))?;
        fs::rename(&self.temp, &self.path).map_err(storage(&self.path, "rename"))?;
        self.committed.store(true, Ordering::Release);
        sync_folder_of(&self.path)
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        if !self.committed.load(Ordering::Acquire) {
            // Nobody is left to tell; what remains is removed as stale by the next run.
            let _ = fs::remove_file(&self.temp);
        }
    }
}

/// Writes a whole small file under the same protocol.
///
/// # Errors
/// `Storage`.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    let temp = TempFile::create(path)?;
    temp.write_at(bytes, 0)?;
    temp.commit()
}

/// Creates a folder (and its parents) whose name survives a crash.
pub(crate) fn create_folder(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(path).map_err(storage(path, "create folder"))?;
    sync_folder_of(path)
}

/// Removes what dead processes of this host have left in `folder`; returns how many files.
///
/// Other hosts' files are left alone: whether their process lives cannot be seen from here.
///
/// # Errors
/// `Storage` when the folder cannot be listed or a stale file cannot be removed.
pub fn remove_stale_temps(folder: &Path) -> Result<usize> {
    let mut removed = 0;
    for entry in fs::read_dir(folder).map_err(storage(folder, "list"))? {
        let entry = entry.map_err(storage(folder, "list"))?;
        if !entry.file_name().to_str().is_some_and(is_stale) {
            continue;
        }
        match fs::remove_file(entry.path()) {
            Ok(()) => removed += 1,
            // Another part of the same run was quicker.
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(storage(&entry.path(), "remove")(e)),
        }
    }
    Ok(removed)
}

fn sync_folder_of(path: &Path) -> Result<()> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let handle = File::open(folder).map_err(storage(folder, "open folder"))?;
    match handle.sync_all() {
        // Some network file systems cannot sync folders; their rename is durable or nothing is.
        Err(e) if matches!(e.raw_os_error(), Some(libc::EINVAL | libc::ENOTSUP)) => Ok(()),
        synced => synced.map_err(storage(folder, "sync folder")),
    }
}

fn temp_name(path: &Path) -> String {
    let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    let nonce = RandomState::new().hash_one(std::process::id());
    format!(".{name}{MARK}{}-{}-{nonce:016x}", host(), std::process::id())
}

/// This host's name, `localhost` where the system does not tell.
fn host() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name: String = name.trim().chars().filter(|c| *c != '/').take(64).collect();
    if name.is_empty() { "localhost".into() } else { name }
}

fn is_stale(name: &str) -> bool {
    let mut parts = name.rsplitn(3, '-');
    let (Some(_nonce), Some(pid), Some(rest)) = (parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    let Ok(pid) = pid.parse::<u32>() else { return false };
    name.starts_with('.') && rest.ends_with(&format!("{MARK}{}", host())) && !is_alive(pid)
}

fn is_alive(pid: u32) -> bool {
    let proc = Path::new("/proc");
    !proc.join("self").exists() || proc.join(pid.to_string()).exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Above the largest pid Linux gives.
    const DEAD: u32 = 1 << 30;

    #[test]
    fn an_uncommitted_file_vanishes_and_a_committed_one_replaces() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.bin");
        write_atomic(&path, b"old").unwrap();
        let temp = TempFile::create(&path).unwrap();
        temp.write_at(b"half", 0).unwrap();
        drop(temp);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        write_atomic(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn only_temps_of_dead_processes_of_this_host_are_stale() {
        let folder = tempfile::tempdir().unwrap();
        let touch = |name: String| fs::write(folder.path().join(name), "").unwrap();
        touch(format!(".a.npz{MARK}{}-{DEAD}-00ff", host()));
        touch(format!(".a.npz{MARK}{}-{}-00ff", host(), std::process::id()));
        touch(format!(".a.npz{MARK}elsewhere-{DEAD}-00ff"));
        touch("a-b-c".into());
        assert_eq!(remove_stale_temps(folder.path()).unwrap(), 1);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
    }

    #[test]
    fn a_storage_error_names_path_and_action() {
        let error = write_atomic(Path::new("/nonexistent/x.json"), b"").unwrap_err();
        assert!(error.to_string().starts_with("cannot create /nonexistent/x.json: "), "{error}");
        assert_eq!(error.stage(), "store");
    }
}
