//! Kafka's names of API keys and error codes, as label values.

/// The label value of an API key.
pub(super) fn api_name(api_key: usize) -> String {
    api_key.to_string()
}

/// The label value of an error code.
pub(super) fn error_name(error_code: i16) -> String {
    error_code.to_string()
}
