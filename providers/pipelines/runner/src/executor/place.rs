//! The place of a run in its record: a later process with other settings finds the run there.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The place of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "executor", rename_all = "lowercase")]
pub enum Place {
    /// The machine that has the record.
    Local,
    /// A namespace of a cluster.
    Kubernetes(ClusterPlace),
}

/// A namespace of a cluster, and the way to it. It has no credentials.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterPlace {
    /// URL of the API server.
    pub cluster: String,
    /// The namespace.
    pub namespace: String,
    /// Files of the kubeconfig, separated by `:`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubeconfig: Option<String>,
    /// Context of the kubeconfig.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// The service account of terrace's pod is used.
    #[serde(default)]
    pub in_cluster: bool,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local => f.write_str("this machine"),
            Self::Kubernetes(place) => place.fmt(f),
        }
    }
}

impl fmt::Display for ClusterPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the namespace `{}` of the cluster `{}`", self.namespace, self.cluster)?;
        match (&self.context, &self.kubeconfig) {
            (Some(context), Some(kubeconfig)) => write!(f, " (context `{context}` of `{kubeconfig}`)"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn place_is_recorded_with_the_way_to_it() {
        let place = Place::Kubernetes(ClusterPlace {
            cluster: "https://k.example.com".to_owned(),
            namespace: "shop".to_owned(),
            kubeconfig: Some("/home/ada/.kube/config".to_owned()),
            context: Some("prod".to_owned()),
            in_cluster: false,
        });
        let text = serde_json::to_string(&place).unwrap();
        assert!(text.starts_with(r#"{"executor":"kubernetes","cluster":"https://k.example.com""#), "{text}");
        assert_eq!(serde_json::from_str::<Place>(&text).unwrap(), place);
        assert_eq!(
            place.to_string(),
            "the namespace `shop` of the cluster `https://k.example.com` (context `prod` of `/home/ada/.kube/config`)"
        );
        assert_eq!(serde_json::from_str::<Place>(r#"{"executor":"local"}"#).unwrap(), Place::Local);
    }
}
