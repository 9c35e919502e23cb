//! One `seed` for every sampler.
//!
//! Holds where samplers work one after the other on one result: the first one's seed is what callers set, the others,
//! unless an author named them, follow it and stay under `advanced`. Samplers side by side keep seeds of their own, or
//! they would make the same thing twice.

use super::{Deriving, is_decided};
use crate::{
    endpoint::{Endpoint, Param, ParamType, Tier},
    infer::sampling::Stages,
    rules::Rule,
};

pub(super) fn share(endpoint: &mut Endpoint, with: &Deriving<'_>) {
    let is_public = |param: &Param| {
        param.ty == ParamType::Seed && matches!(param.tier, Tier::Primary | Tier::Advanced) && !param.required
    };
    let Some(first) = endpoint
        .params
        .iter()
        .filter(|param| is_public(param) && param.tier == Tier::Primary)
        .min_by_key(|param| param.name != "seed")
    else {
        return;
    };
    let Some(seed) = first.bindings.first().cloned() else { return };
    let stages = Stages::find(&endpoint.graph, &endpoint.graph.topological(), &endpoint.graph.consumers());
    let stage = stages.of(&seed.node);
    let followers: Vec<_> = endpoint
        .params
        .iter()
        .filter(|param| is_public(param) && !is_decided(param) && param.default.is_none())
        .filter_map(|param| param.bindings.first().cloned())
        .filter(|binding| *binding != seed && stages.of(&binding.node) != stage)
        .collect();
    for follower in followers {
        with.step_back(endpoint, &follower);
        let Some(param) = endpoint.params.iter_mut().find(|param| param.bindings.contains(&follower)) else {
            continue;
        };
        if param.tier == Tier::Advanced {
            param.description = Some("Follows `seed` where left out.".to_owned());
            endpoint.rules.push(Rule::SharedSeed { seed: seed.clone(), follower });
        }
    }
}
