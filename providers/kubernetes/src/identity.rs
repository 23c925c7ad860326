//! The identity of an instance in its cluster, by a review of the caller's own identity.

use serde_json::Value as Json;

/// The review. Clusters allow it to every caller that they know.
/// <https://kubernetes.io/docs/reference/access-authn-authz/authentication/#self-subject-review>
pub(crate) const REVIEW: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
/// Stands for an unknown identity in commands.
pub(crate) const PLACEHOLDER: &str = "USER";

/// The subject of a binding.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Identity {
    /// The cluster does not report it.
    #[default]
    Unknown,
    /// The cluster accepted no credentials: rights for this identity are rights for everyone.
    Anonymous,
    /// Namespace and name: `pipelines:runner`.
    ServiceAccount(String),
    /// A name that the authentication of the cluster gave.
    User(String),
}

impl Identity {
    /// Reads an answered review.
    pub(crate) fn of_review(review: &Json) -> Self {
        match review.pointer("/status/userInfo/username").and_then(Json::as_str).unwrap_or_default() {
            "" => Self::Unknown,
            "system:anonymous" => Self::Anonymous,
            name => match name.strip_prefix("system:serviceaccount:") {
                Some(account) => Self::ServiceAccount(account.to_owned()),
                None => Self::User(name.to_owned()),
            },
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::Unknown => PLACEHOLDER,
            Self::Anonymous => "system:anonymous",
            Self::ServiceAccount(name) | Self::User(name) => name,
        }
    }

    /// The option of `kubectl create rolebinding`, for a shell.
    pub(crate) fn option(&self) -> String {
        match self {
            Self::ServiceAccount(name) => format!("--serviceaccount={name}"),
            other => format!("--user={}", quoted(other.name())),
        }
    }

    /// The name as a part of the name of a binding.
    pub(crate) fn in_name(&self) -> String {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.:@".contains(c);
        self.name().chars().map(|c| if is_plain(c) { c } else { '-' }).collect()
    }
}

/// A text as one word of a shell.
pub(crate) fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.:@/+=,".contains(c);
    match text.chars().all(is_plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn identity_is_that_of_the_review() {
        let of = |name: &str| Identity::of_review(&json!({"status": {"userInfo": {"username": name}}}));
        let account = of("system:serviceaccount:pipelines:runner");
        assert_eq!(account.option(), "--serviceaccount=pipelines:runner");
        assert_eq!(account.in_name(), "pipelines:runner");
        let user = of("Zoë O'Hara/CI");
        assert_eq!(user.option(), r"--user='Zoë O'\''Hara/CI'");
        assert_eq!(user.in_name(), "Zo--O-Hara-CI");
        assert_eq!(of("alice@example.com").option(), "--user=alice@example.com");
        assert_eq!(of("system:anonymous"), Identity::Anonymous);
        assert_eq!(Identity::of_review(&json!({})).option(), "--user=USER");
    }
}
