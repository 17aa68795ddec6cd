//! Error codes and API names against the oracle's tables.

use kafka_protocol::ResponseError;

use crate::{ApiKey, ErrorCode};

fn letters(text: &str) -> String {
    text.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_uppercase()
}

#[test]
fn error_codes_agree_with_the_oracle() {
    for code in -1..=200 {
        let ours = ErrorCode::from_code(code);
        assert_eq!(ours.code(), code);
        match ResponseError::try_from_code(code) {
            None => assert_eq!((code, ours.name()), (0, "NONE")),
            Some(ResponseError::Unknown(_)) => {}
            Some(theirs) => {
                assert_eq!(letters(ours.name()), letters(&theirs.to_string()), "{code}");
                // Kafka 4 made this one retriable; the oracle has not followed yet.
                if ours != ErrorCode::CONCURRENT_TRANSACTIONS {
                    assert_eq!(ours.is_retriable(), theirs.is_retriable(), "{ours:?}");
                }
            }
        }
    }
}

#[test]
fn error_codes_are_in_order_and_say_something() {
    assert!(ErrorCode::ALL.windows(2).all(|pair| pair[0].code() + 1 == pair[1].code()));
    for code in ErrorCode::ALL {
        assert!(!code.message().is_empty() && !code.message().ends_with('.'), "{code:?}");
    }
    assert_eq!(ErrorCode::from_code(999).name(), "UNKNOWN");
    assert!(!ErrorCode::from_code(999).is_retriable());
}

#[test]
fn api_names_agree_with_the_oracle() {
    for key in 0..100 {
        let ours = ApiKey(key).name();
        if let Ok(theirs) = kafka_protocol::messages::ApiKey::try_from(key)
            && ours != "Unknown"
        {
            assert_eq!(ours, format!("{theirs:?}"));
        }
    }
}
