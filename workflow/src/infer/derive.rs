//! Parameters that people think in, where the graph supports them: seconds, ratios, a number of results, files that
//! may be left out, switches. Each rule is off wherever one of its conditions does not hold, and the values that nodes
//! have stay reachable.

use crate::{
    catalog::Catalog,
    diagnostic::Diagnostic,
    endpoint::{Binding, Derived, Endpoint, Param, ParamType, Tier},
    json::{Number, Value},
    lock::Held,
    rules::Steps,
    sidecar::Sidecar,
    ui::Group,
};

mod count;
mod duration;
mod loras;
mod seeds;
mod size;
mod switches;

/// What rules are told besides the endpoint.
pub(super) struct Deriving<'d> {
    pub(super) catalog: &'d Catalog,
    pub(super) sidecar: Option<&'d Sidecar>,
    pub(super) held: Option<&'d Held>,
    pub(super) groups: &'d [Group],
}

pub(super) fn apply(endpoint: &mut Endpoint, with: &Deriving<'_>) {
    seeds::share(endpoint, with);
    count::offer(endpoint, with);
    duration::offer(endpoint, with);
    size::offer(endpoint, with);
    switches::offer(endpoint, with);
    if let Some(sidecar) = with.sidecar {
        let unmet = sidecar.unmet(&endpoint.params);
        endpoint.diagnostics.extend(unmet);
    }
}

/// Whether a group that is off in the file became a switch.
pub(super) fn has_switch(endpoint: &Endpoint, group: &Group) -> bool {
    endpoint.params.iter().filter(|param| param.derived == Some(Derived::Switch)).any(|param| {
        let nodes: Vec<&str> = param.bindings.iter().map(|binding| binding.node.as_str()).collect();
        let live = group.nodes.iter().filter(|id| endpoint.graph.nodes.contains_key(*id));
        param.default == Some(Value::Bool(false))
            && !nodes.is_empty()
            && live.into_iter().all(|id| nodes.contains(&id.as_str()))
    })
}

impl Deriving<'_> {
    /// Adds a field to the request, unless the author hid it, its name is taken, or the lock was written without it.
    /// The name it got.
    fn offer(&self, endpoint: &mut Endpoint, mut param: Param) -> Option<String> {
        let derived = param.derived?;
        let rule = self.sidecar.and_then(|sidecar| sidecar.params.get(&param.name));
        if rule.is_some_and(|rule| rule.hide) {
            return None;
        }
        let asked = rule.is_some() || (derived == Derived::Switch && param.settled);
        if !asked && self.held.is_some_and(|held| !held.offers(derived, &param.name)) {
            endpoint.diagnostics.push(
                Diagnostic::note(
                    "not-locked",
                    format!("`{}` could be a parameter; the lock file was written without it", param.name),
                )
                .help("to have it, delete the lock file and run `comfyport lock accept`"),
            );
            return None;
        }
        if let Some(rule) = rule {
            let key = param.name.clone();
            rule.apply_derived(&mut param, &key, &mut endpoint.diagnostics);
        }
        let taken =
            endpoint.params.iter().any(|other| other.tier == Tier::Primary && other.name == param.name);
        if taken {
            return None;
        }
        let name = param.name.clone();
        endpoint.params.push(param);
        Some(name)
    }

    /// Moves what a value is derived for under `advanced`, where no author put it somewhere and no lock holds it.
    fn step_back(&self, endpoint: &mut Endpoint, binding: &Binding) {
        let held = self.held.is_some_and(|held| held.is_primary(binding));
        let param = endpoint.params.iter_mut().find(|param| param.sets().contains(binding));
        if let Some(param) = param.filter(|param| !held && !is_decided(param)) {
            param.tier = Tier::Advanced;
        }
    }
}

/// Whether an author said something about it.
fn is_decided(param: &Param) -> bool {
    param.settled || param.signal == "sidecar file"
}

/// The only public parameter of a role, bound to one input. `None` where there is none, or more than one.
fn only<'e>(endpoint: &'e Endpoint, roles: &[&str]) -> Option<&'e Param> {
    let is = |param: &&Param| {
        matches!(param.tier, Tier::Primary | Tier::Advanced)
            && param.derived.is_none()
            && param.role.as_deref().is_some_and(|role| roles.contains(&role))
    };
    let mut all = endpoint.params.iter().filter(is);
    let first = all.next()?;
    all.next().is_none().then_some(first)
}

/// The numbers that a parameter takes, where they are known and of a sensible number.
fn steps(param: &Param, least: i64) -> Option<Steps> {
    const GREATEST: i64 = 1 << 40;
    let whole = |number: &Option<Number>| number.as_ref().and_then(Number::as_i64);
    let step = whole(&param.step).unwrap_or(1).max(1);
    let (first, last) = (whole(&param.min)?.max(least), whole(&param.max)?);
    let steps = Steps { first, step, last };
    (param.ty == ParamType::Integer && param.options.is_empty() && first < last && last < GREATEST)
        .then_some(steps)
}

/// A field that no node has.
fn field(name: &str, derived: Derived, ty: ParamType, bindings: &[Binding]) -> Param {
    Param {
        name: name.to_owned(),
        tier: Tier::Primary,
        ty,
        role: Some(name.to_owned()).filter(|_| derived != Derived::Switch),
        required: false,
        default: None,
        min: None,
        max: None,
        step: None,
        options: Vec::new(),
        open: false,
        multiline: false,
        encoding: None,
        folder: None,
        description: None,
        unit: None,
        enum_name: None,
        bindings: bindings.to_vec(),
        signal: String::new(),
        derived: Some(derived),
        loras: None,
        from_url: false,
        settled: false,
        insisted: None,
    }
}

/// A number as people write it, with at most this many digits after the point.
fn rounded(value: f64, digits: i32) -> Number {
    let scale = 10_f64.powi(digits);
    Number::from_f64((value * scale).round() / scale)
}

fn number(value: Option<&Value>) -> Option<f64> {
    value.and_then(Value::as_f64).filter(|value| value.is_finite())
}
