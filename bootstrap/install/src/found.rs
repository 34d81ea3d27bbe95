//! Whether the API server has what was asked for.

/// What was found, or nothing. kube's own `get_opt` takes only an object's absence for nothing; a kind that is not served
/// is answered with 404 too, in plain text.
///
/// # Errors
/// Any other answer.
pub fn found<T>(answer: kube::Result<T>) -> kube::Result<Option<T>> {
    match answer {
        Ok(object) => Ok(Some(object)),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        Err(error) => Err(error),
    }
}
