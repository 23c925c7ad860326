//! Clusters and SQL warehouses: they exist and cannot be created here.

use crate::error::{ApiError, Outcome};
use crate::fields::page;
use crate::request::Request;
use crate::world::World;
use serde_json::json;

pub(super) fn list(world: &World, request: &Request) -> Outcome {
    let (clusters, next) = page(world.clusters.clone(), &request.query, "page_size", 20, 100)?;
    let mut answer = json!({"clusters": clusters});
    if let Some(next) = next {
        answer["next_page_token"] = json!(next);
    }
    Ok(answer)
}

/// An unknown cluster is an invalid parameter.
pub(super) fn get(world: &World, request: &Request) -> Outcome {
    let id = request.parameter("cluster_id")?;
    let found = world.clusters.iter().find(|it| it["cluster_id"] == id);
    found.cloned().ok_or_else(|| ApiError::invalid(format!("Cluster {id} does not exist")))
}

pub(super) fn warehouses(world: &World, request: &Request) -> Outcome {
    let (warehouses, next) = page(world.warehouses.clone(), &request.query, "page_size", 100, 1000)?;
    let mut answer = json!({"warehouses": warehouses});
    if let Some(next) = next {
        answer["next_page_token"] = json!(next);
    }
    Ok(answer)
}

pub(super) fn warehouse(world: &World, id: &str) -> Outcome {
    let found = world.warehouses.iter().find(|it| it["id"] == id);
    found.cloned().ok_or_else(|| ApiError::missing(format!("SQL warehouse {id} does not exist.")))
}
