//! Model files that callers chose.

use crate::{Decoded, Field, Kind, Lora, Place, address};

/// A model file that a caller chose.
#[derive(Debug)]
pub struct ChosenModel<'d> {
    /// The field that says it.
    pub field: &'d Field,
    /// Where it stands in the request.
    pub place: Place,
    /// Its name; of one that was told by its address, the file name in that.
    pub name: String,
    /// The address that it was told by, without its query.
    pub url: Option<String>,
}

impl<'d> ChosenModel<'d> {
    fn of(field: &'d Field, place: Place, text: String) -> Self {
        match told(field, &text) {
            Some(name) => Self { field, place, name, url: Some(text) },
            None => Self { field, place, name: text, url: None },
        }
    }
}

/// The file that an address in the place of a name ends in.
pub(crate) fn told(field: &Field, text: &str) -> Option<String> {
    matches!(field.kind, Kind::Model { from_url: true, .. }).then(|| address::file_of(text)).flatten()
}

impl Decoded {
    /// The model files that the caller chose, but for those in lists of LoRAs.
    pub fn models(&self) -> Vec<ChosenModel<'_>> {
        let is_model = |(_, field): &(u16, &Field)| matches!(field.kind, Kind::Model { .. });
        let fields = (0..).zip(&self.endpoint.fields).filter(is_model).filter_map(|(index, field)| {
            let text = self.request.slot(usize::from(index)).text()?;
            Some(ChosenModel::of(field, Place::Field(index), text.to_owned()))
        });
        let advanced = (0..).zip(&self.endpoint.advanced).filter(is_model).filter_map(|(index, field)| {
            let json = self.request.advanced()?.json(usize::from(index))?;
            Some(ChosenModel::of(field, Place::Advanced(index), serde_json::from_slice(json).ok()?))
        });
        fields.chain(advanced).collect()
    }

    /// Says which file of the engine a model is that the caller chose.
    pub fn name_model(&mut self, place: Place, file: String) {
        match place {
            Place::Field(index) => {
                if let Some(text) = self.request.slot_mut(usize::from(index)).text_mut() {
                    *text = file;
                }
            }
            Place::Advanced(index) => {
                if let Some(advanced) = self.request.advanced_mut() {
                    advanced.set(usize::from(index), &file);
                }
            }
        }
    }

    /// The lists of LoRAs that the caller gave, with the positions of their fields.
    pub fn loras(&self) -> Vec<(usize, &Field, &[Lora])> {
        let fields = self.endpoint.fields.iter().enumerate();
        fields.filter_map(|(index, field)| Some((index, field, self.request.slot(index).loras()?))).collect()
    }

    /// Says which file of the engine the LoRA at a position of a list is.
    pub fn name_lora(&mut self, field: usize, item: usize, file: String) {
        let loras = self.request.slot_mut(field).loras_mut();
        if let Some(lora) = loras.and_then(|loras| loras.get_mut(item)) {
            (lora.name, lora.url) = (Some(file), None);
        }
    }

    /// The inputs whose model the caller decided about, as `"node.input"`.
    pub fn decided_models(&self) -> Vec<&str> {
        let fields = self.endpoint.fields.iter().enumerate().filter(|(index, field)| {
            matches!(field.kind, Kind::Model { .. } | Kind::Loras { .. })
                && self.request.slot(*index).is_set()
        });
        let advanced = self.endpoint.advanced.iter().enumerate().filter(|(index, field)| {
            let given = self.request.advanced().is_some_and(|advanced| advanced.json(*index).is_some());
            matches!(field.kind, Kind::Model { .. }) && given
        });
        fields.chain(advanced).flat_map(|(_, field)| field.at.iter().map(|at| &**at)).collect()
    }
}
