//! DescribeConfigs, AlterConfigs, IncrementalAlterConfigs.

use synod_wire::messages::alter_configs as replacing;
use synod_wire::messages::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResult,
};
use synod_wire::messages::incremental_alter_configs as incremental;
use synod_wire::{ErrorCode, RequestHeader};

use super::*;

const TOPIC: i8 = 2;
const BROKER: i8 = 4;

async fn describe(
    context: &Context,
    version: i16,
    resource: (i8, &str),
    keys: Option<&[&str]>,
) -> DescribeConfigsResult {
    let handler = |context, header: RequestHeader, request| async move {
        crate::api::describe_configs::handle(context, &header, request).await
    };
    let resource = DescribeConfigsResource {
        resource_type: resource.0,
        resource_name: text(resource.1),
        configuration_keys: keys.map(|keys| keys.iter().map(|key| text(key)).collect()),
    };
    let request = DescribeConfigsRequest {
        resources: vec![resource],
        include_synonyms: true,
        include_documentation: true,
    };
    call(context, handler, version, request).await.results.remove(0)
}

/// Names, values and sources.
fn told(result: &DescribeConfigsResult) -> Vec<(&str, Option<&str>, i8)> {
    assert_eq!(result.error_code, ErrorCode::NONE);
    result.configs.iter().map(|c| (&*c.name, c.value.as_deref(), c.config_source)).collect()
}

type Change<'a> = (&'a str, i8, Option<&'a str>);

async fn alter(context: &Context, resource: (i8, &str), changes: &[Change<'_>]) -> (i16, String) {
    let configs = changes.iter().map(|(name, config_operation, value)| {
        let (name, value) = (text(name), value.map(Str::from));
        incremental::AlterableConfig { name, config_operation: *config_operation, value }
    });
    let resource = incremental::AlterConfigsResource {
        resource_type: resource.0,
        resource_name: text(resource.1),
        configs: configs.collect(),
    };
    let handler = |context, header: RequestHeader, request| async move {
        crate::api::alter_configs::handle_incremental(context, &header, request).await
    };
    let request = incremental::IncrementalAlterConfigsRequest {
        resources: vec![resource],
        validate_only: false,
    };
    let mut response = call(context, handler, 1, request).await;
    let one = response.responses.remove(0);
    (one.error_code.code(), one.error_message.map(|text| text.to_string()).unwrap_or_default())
}

#[tokio::test(flavor = "current_thread")]
async fn a_topic_is_described_in_every_version() {
    with_broker(Config::default(), async |context| {
        context.controller().auto_create_topic("t").await.unwrap();
        assert_eq!(alter(context, (TOPIC, "t"), &[("retention.ms", 0, Some("5"))]).await.0, 0);
        for version in 1..=4 {
            let all = describe(context, version, (TOPIC, "t"), None).await;
            assert_eq!((all.configs.len(), all.error_message.as_deref()), (33, Some("")));
            let empty = describe(context, version, (TOPIC, "t"), Some(&[])).await;
            assert_eq!(empty.configs.len(), 33);
            let some = describe(context, version, (TOPIC, "t"), Some(&["nope", "retention.ms"]));
            let some = some.await;
            assert_eq!(told(&some), [("retention.ms", Some("5"), 1)]);
            let entry = &some.configs[0];
            assert!(!entry.read_only && !entry.is_sensitive);
            let places: Vec<_> =
                entry.synonyms.iter().map(|s| (&*s.name, s.value.as_deref(), s.source)).collect();
            assert_eq!(places, [("retention.ms", Some("5"), 1)]);
            if version >= 3 {
                assert_eq!(entry.config_type, 5);
                assert!(entry.documentation.as_deref().is_some_and(|doc| doc.contains("age")));
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "current_thread")]
async fn what_cannot_be_described_is_told_per_resource() {
    with_broker(Config::default(), async |context| {
        for ((kind, name), code) in [
            ((TOPIC, "zzz"), 3),
            ((TOPIC, "../x"), 17),
            ((TOPIC, ""), 17),
            ((BROKER, "9"), 42),
            ((BROKER, "x"), 42),
            ((8, "9"), 42),
            ((0, "a"), 42),
            ((99, "a"), 42),
        ] {
            let result = describe(context, 4, (kind, name), None).await;
            assert_eq!(result.error_code.code(), code, "{kind} {name}");
            assert_eq!((result.resource_type, &*result.resource_name), (kind, name));
            assert!(result.configs.is_empty());
        }
    })
    .await;
}

#[tokio::test(flavor = "current_thread")]
async fn brokers_are_described() {
    let config = Config { num_partitions: 6, ..Config::default() };
    with_broker(config, async |context| {
        let keys = ["node.id", "num.partitions", "log.retention.ms", "log.retention.hours"];
        let own = describe(context, 4, (BROKER, "1"), Some(&keys)).await;
        let wanted = [
            ("log.retention.hours", Some("168"), 5),
            ("log.retention.ms", None, 5),
            ("node.id", Some("1"), 5),
            ("num.partitions", Some("6"), 4),
        ];
        assert_eq!(told(&own), wanted);
        let read_only: Vec<_> = own.configs.iter().map(|entry| entry.read_only).collect();
        assert_eq!(read_only, [true, false, true, true]);
        assert!(describe(context, 4, (BROKER, "1"), None).await.configs.len() > 50);

        assert_eq!(told(&describe(context, 4, (BROKER, ""), None).await), []);
        let set = ("log.retention.ms", 0, Some("7"));
        assert_eq!(alter(context, (BROKER, ""), &[set]).await.0, 0);
        let defaults = describe(context, 4, (BROKER, ""), None).await;
        assert_eq!(told(&defaults), [("log.retention.ms", Some("7"), 3)]);
        let own = describe(context, 4, (BROKER, "1"), Some(&["log.retention.ms"])).await;
        assert_eq!(told(&own), [("log.retention.ms", Some("7"), 3)]);

        let logger = describe(context, 4, (8, "1"), None).await;
        assert_eq!(told(&logger), [("root", Some("INFO"), 6)]);
    })
    .await;
}

#[tokio::test(flavor = "current_thread")]
async fn incremental_changes_are_carried_out_or_refused() {
    with_broker(Config::default(), async |context| {
        context.controller().auto_create_topic("t").await.unwrap();
        let (topic, broker) = ((TOPIC, "t"), (BROKER, "1"));
        type Case = ((i8, &'static str), &'static [Change<'static>], i16, &'static str);
        let cases: [Case; 16] = [
            (topic, &[("retention.ms", 0, Some("5"))], 0, ""),
            (topic, &[("retention.ms", 1, Some("ignored")), ("nope", 1, None)], 0, ""),
            (topic, &[("cleanup.policy", 2, Some("compact"))], 0, ""),
            (topic, &[("cleanup.policy", 3, Some("delete"))], 0, ""),
            (topic, &[], 0, ""),
            (
                topic,
                &[("retention.ms", 0, None)],
                42,
                "Null value not supported for : retention.ms",
            ),
            (topic, &[("retention.ms", 9, Some("1"))], 42, "Unknown operation 9"),
            (topic, &[("retention.ms", 2, Some("1"))], 40, "type is not LIST"),
            (topic, &[("nope", 0, Some("1"))], 40, "Unknown topic config name: nope"),
            ((TOPIC, "zzz"), &[], 3, "The topic 'zzz' does not exist."),
            ((TOPIC, ""), &[], 42, "Default topic resources are not allowed."),
            (broker, &[("log.dirs", 0, Some("/"))], 42, "Cannot update these configs"),
            (broker, &[("log.segment.bytes", 0, Some("2097152"))], 0, ""),
            ((BROKER, "9"), &[], 42, "Unexpected broker id, expected 1, but received 9"),
            ((BROKER, "x"), &[], 42, "Node id must be an integer, but it is: x"),
            ((99, "t"), &[], 42, "Unknown resource type 99"),
        ];
        for (resource, changes, code, message) in cases {
            let answer = alter(context, resource, changes).await;
            assert_eq!(answer.0, code, "{resource:?} {changes:?}: {}", answer.1);
            assert!(answer.1.contains(message), "{}", answer.1);
        }
        let described = describe(context, 4, topic, Some(&["cleanup.policy", "segment.bytes"]));
        let wanted =
            [("cleanup.policy", Some("compact"), 1), ("segment.bytes", Some("2097152"), 2)];
        assert_eq!(told(&described.await), wanted);
    })
    .await;
}

#[tokio::test(flavor = "current_thread")]
async fn refused_resources_do_not_shift_the_answers_of_others() {
    with_broker(Config::default(), async |context| {
        for name in ["a", "b"] {
            context.controller().auto_create_topic(name).await.unwrap();
        }
        let resource = |kind, name: &str, value: Option<&str>| replacing::AlterConfigsResource {
            resource_type: kind,
            resource_name: text(name),
            configs: vec![replacing::AlterableConfig {
                name: text("retention.ms"),
                value: value.map(Str::from),
            }],
        };
        let handler = |context, header: RequestHeader, request| async move {
            crate::api::alter_configs::handle(context, &header, request).await
        };
        for version in 0..=2 {
            let resources = vec![
                resource(99, "x", Some("1")),
                resource(TOPIC, "a", Some("1")),
                resource(TOPIC, "a2", Some("1")),
                resource(TOPIC, "b", None),
                resource(BROKER, "7", Some("1")),
                resource(TOPIC, "b", Some("2")),
            ];
            let request = replacing::AlterConfigsRequest { resources, validate_only: false };
            let response = call(context, handler, version, request).await;
            let told: Vec<_> = response
                .responses
                .iter()
                .map(|one| (one.resource_type, &*one.resource_name, one.error_code.code()))
                .collect();
            let wanted = [
                (99, "x", 42),
                (TOPIC, "a", 0),
                (TOPIC, "a2", 3),
                (TOPIC, "b", 42),
                (BROKER, "7", 42),
                (TOPIC, "b", 0),
            ];
            assert_eq!(told, wanted);
        }
        // Replacing drops what is not named again.
        assert_eq!(alter(context, (TOPIC, "a"), &[("segment.ms", 0, Some("9"))]).await.0, 0);
        let request = replacing::AlterConfigsRequest {
            resources: vec![resource(TOPIC, "a", Some("3"))],
            validate_only: false,
        };
        call(context, handler, 2, request).await;
        let own = &context.image().topic("a").unwrap().configs.clone();
        assert_eq!(own.iter().collect::<Vec<_>>(), [(&"retention.ms".into(), &"3".into())]);
    })
    .await;
}
