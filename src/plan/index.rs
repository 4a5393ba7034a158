//! Index of the instances of a stage by their labels.

use std::collections::HashMap;

use super::draft::Slot;
use super::select::{Axes, axes};

/// Index of the instances of one stage.
pub(super) struct StageIndex<'s> {
    /// The stage's axes and the labels on them.
    pub axes: Axes<'s>,
    groups: Vec<Group<'s>>,
}

/// Instances that have the same axes: all of them, unless `include` made points with axes of their own.
struct Group<'s> {
    present: Vec<&'s str>,
    slots: Vec<usize>,
    /// Instances by their labels, by the axes that are asked for. Filled when first asked.
    tables: HashMap<Vec<&'s str>, HashMap<Vec<&'s str>, Vec<usize>>>,
}

/// Constraint on one axis.
#[derive(Debug, Clone, Copy)]
pub(super) struct Constraint<'c> {
    /// The axis.
    pub axis: &'c str,
    /// The label it must have.
    pub label: &'c str,
    /// Whether an instance without the axis fits too.
    pub absent_fits: bool,
}

impl<'s> StageIndex<'s> {
    /// Indexes the instances of a stage.
    pub(super) fn new(slots: &'s [Slot]) -> Self {
        let labels = |slot: &'s Slot| slot.point.axes.iter().map(|(axis, value)| (&**axis, &*value.label));
        let mut groups: Vec<Group<'s>> = Vec::new();
        let mut by_axes: HashMap<Vec<&'s str>, usize> = HashMap::new();
        for (index, slot) in slots.iter().enumerate() {
            let present: Vec<&str> = labels(slot).map(|(axis, _)| axis).collect();
            let group = *by_axes.entry(present.clone()).or_insert_with(|| {
                groups.push(Group { present, slots: Vec::new(), tables: HashMap::new() });
                groups.len() - 1
            });
            groups[group].slots.push(index);
        }
        StageIndex { axes: axes(slots.iter().map(labels)), groups }
    }

    /// The indices of the instances that fit all constraints, in matrix order.
    pub(super) fn find(&mut self, slots: &'s [Slot], constraints: &[Constraint<'_>]) -> Vec<usize> {
        let mut found = Vec::new();
        for group in &mut self.groups {
            let mut held = Vec::new();
            let mut labels: Vec<&str> = Vec::new();
            let mut fits = true;
            for constraint in constraints {
                match group.present.iter().copied().find(|axis| *axis == constraint.axis) {
                    Some(axis) => {
                        held.push(axis);
                        labels.push(constraint.label);
                    }
                    None => fits &= constraint.absent_fits,
                }
            }
            if fits {
                let table = group.tables.entry(held).or_insert_with_key(|held| table(&group.slots, slots, held));
                found.extend(table.get(&labels).into_iter().flatten().copied());
            }
        }
        found.sort_unstable();
        found
    }
}

fn table<'s>(members: &[usize], slots: &'s [Slot], held: &[&'s str]) -> HashMap<Vec<&'s str>, Vec<usize>> {
    let mut table: HashMap<Vec<&'s str>, Vec<usize>> = HashMap::new();
    for index in members {
        let labels = held.iter().filter_map(|axis| slots[*index].point.label(axis)).collect();
        table.entry(labels).or_default().push(*index);
    }
    table
}
