//! Working directories as the command line names them.
//!
//! A thread keeps the path that its runtime was started with. Whoever asks for a directory may
//! stand in it, or reach it by a link: the path from the root and the one without links are both
//! taken for it.

use std::path::{Component, Path, PathBuf};

use super::absolute;
use crate::error::Result;

/// The paths under which threads may have each of these directories.
pub(super) fn alternatives(cwds: &[String]) -> Result<Vec<String>> {
    let mut paths = Vec::new();
    for cwd in cwds {
        for path in paths_of(cwd)? {
            if !paths.contains(&path) {
                paths.push(path);
            }
        }
    }
    Ok(paths)
}

fn paths_of(cwd: &str) -> Result<Vec<String>> {
    // A home may come from another system, where this is a path from the root.
    if is_of_windows(cwd) {
        return Ok(vec![cwd.to_owned()]);
    }
    let given = absolute(Path::new(cwd))?;
    let mut paths = vec![without_dots(&given)];
    // A directory that is gone, or was another machine's, has no other path.
    if let Ok(resolved) = given.canonicalize()
        && !paths.contains(&resolved)
    {
        paths.push(resolved);
    }
    let texts = paths.iter().map(|path| path.to_string_lossy().into_owned());
    Ok(texts.collect())
}

fn is_of_windows(path: &str) -> bool {
    let mut chars = path.chars();
    path.starts_with(r"\\")
        || chars.next().is_some_and(|c| c.is_ascii_alphabetic())
            && chars.next() == Some(':')
            && matches!(chars.next(), Some('\\' | '/'))
}

/// The path without `.` and `..`, by its words alone.
fn without_dots(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                plain.pop();
            }
            component => plain.push(component),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(cwd: &str) -> Vec<String> {
        alternatives(&[cwd.to_owned()]).unwrap()
    }

    #[test]
    fn a_directory_is_named_from_the_root() {
        assert_eq!(of("/no/such/../dir//./x/"), ["/no/dir/x"]);
        assert_eq!(of("/.."), ["/"]);
        let here = std::env::current_dir().unwrap();
        assert_eq!(of("."), [here.to_str().unwrap()]);
        assert_eq!(of("src/.."), of("."));
        assert_eq!(of(r"C:\work\app"), [r"C:\work\app"]);
        assert_eq!(of("c:relative").len(), 1);
        assert!(of("c:relative")[0].starts_with('/'));
    }

    #[test]
    fn a_link_stands_for_the_directory_it_leads_to() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().canonicalize().unwrap().join("real");
        let link = real.with_file_name("link");
        std::fs::create_dir(&real).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let (real, link) = (real.to_str().unwrap(), link.to_str().unwrap());
        assert_eq!(of(link), [link, real]);
        assert_eq!(of(real), [real]);
        let both = alternatives(&[link.to_owned(), real.to_owned()]).unwrap();
        assert_eq!(both, [link, real]);
    }
}
