//! SHA-256 in the form that checksums are written in.

use std::{fmt::Write as _, fs::File, io::Read, path::Path};

use ring::digest::{Context, Digest, SHA256, digest};

use crate::Error;

/// The digest of a few bytes.
pub(crate) fn of_bytes(bytes: &[u8]) -> String {
    hex(&digest(&SHA256, bytes))
}

/// The digest of a file.
pub(crate) fn of_file(path: &Path) -> Result<String, Error> {
    let mut file = File::open(path).map_err(Error::io("open", path))?;
    let mut context = Context::new(&SHA256);
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = file.read(&mut buffer).map_err(Error::io("read", path))?;
        if read == 0 {
            return Ok(hex(&context.finish()));
        }
        context.update(buffer.split_at(read).0);
    }
}

fn hex(digest: &Digest) -> String {
    digest.as_ref().iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_bytes_have_the_same_digest() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "abc").unwrap();
        assert_eq!(of_bytes(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(of_file(file.path()).unwrap(), of_bytes(b"abc"));
    }
}
