//! What was measured, as a table for people and as lines of JSON for programs.

use crate::samples::{Samples, Since, Times};
use anyhow::Result;
use serde_json::{Map, Value, json};
use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    path::Path,
};

const CASE_WIDTH: usize = 44;
const FIGURE_WIDTH: usize = 9;

/// Where rows go.
pub(crate) struct Report {
    json: Option<File>,
    /// The scenario and the names of the figures that stand above the last row.
    heading: (&'static str, Vec<&'static str>),
    /// How servers and clients share the cores.
    cores: &'static str,
}

/// The figures of one row, by their names, which end in their unit.
#[derive(Default)]
pub(crate) struct Figures(Vec<(&'static str, f64)>);

impl Figures {
    pub(crate) fn with(mut self, name: &'static str, value: f64) -> Self {
        self.0.push((name, value));
        self
    }

    pub(crate) fn with_some(self, name: &'static str, value: Option<f64>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }
}

impl Report {
    pub(crate) fn new(json: Option<&Path>) -> Result<Self> {
        let json = json.map(|path| OpenOptions::new().create(true).append(true).open(path)).transpose()?;
        Ok(Self { json, heading: Default::default(), cores: "shared" })
    }

    /// From now on servers and clients have cores of their own.
    pub(crate) fn cores_apart(&mut self) {
        self.cores = "apart";
        self.heading = Default::default();
    }

    /// A row of its own figures.
    pub(crate) fn row(&mut self, scenario: &'static str, case: &str, figures: Figures) -> Result<()> {
        self.whole_row(scenario, case, figures, &Map::new())
    }

    /// A row of requests: how many were answered well in a second, and how long that took.
    pub(crate) fn requests(&mut self, scenario: &'static str, case: &str, rate: f64, samples: &Samples) -> Result<()> {
        let times = samples.times(Since::Due, |outcome| outcome == crate::samples::Outcome::Done);
        let figures = times_of(Figures::default().with("per_s", rate), &times);
        let statuses = samples.statuses();
        let errors = statuses.values().sum::<u64>();
        let statuses = statuses.into_iter().map(|(status, count)| (status, json!(count))).collect();
        self.whole_row(scenario, case, figures.with("errors", crate::samples::precise(errors)), &statuses)
    }

    fn whole_row(
        &mut self,
        scenario: &'static str,
        case: &str,
        figures: Figures,
        errors: &Map<String, Value>,
    ) -> Result<()> {
        let names: Vec<_> = figures.0.iter().map(|(name, _)| *name).collect();
        let heading = (scenario, names);
        let mut out = std::io::stdout();
        if heading != self.heading {
            write!(out, "\n{:CASE_WIDTH$}", format!("{scenario} (cores {})", self.cores))?;
            heading.1.iter().try_for_each(|name| write!(out, "  {name:>FIGURE_WIDTH$}"))?;
            writeln!(out)?;
        }
        write!(out, "{case:CASE_WIDTH$}")?;
        for (name, value) in &figures.0 {
            write!(out, "  {:>width$}", shown(*value), width = FIGURE_WIDTH.max(name.len()))?;
        }
        let listed: Vec<_> = errors.iter().map(|(status, count)| format!("{status}: {count}")).collect();
        writeln!(out, "  {}", listed.join(", "))?;
        self.heading = heading;
        self.note(scenario, case, figures, errors)
    }

    fn note(
        &mut self,
        scenario: &'static str,
        case: &str,
        figures: Figures,
        errors: &Map<String, Value>,
    ) -> Result<()> {
        let Some(file) = &mut self.json else { return Ok(()) };
        let mut row: Map<_, _> = figures.0.into_iter().map(|(name, value)| (name.to_owned(), json!(value))).collect();
        row.insert("scenario".to_owned(), json!(scenario));
        row.insert("case".to_owned(), json!(case));
        row.insert("cores".to_owned(), json!(self.cores));
        row.insert("load_average".to_owned(), json!(load_average()));
        if !errors.is_empty() {
            row.insert("by_status".to_owned(), Value::Object(errors.clone()));
        }
        Ok(writeln!(file, "{}", Value::Object(row))?)
    }
}

/// How long things took, in milliseconds.
pub(crate) fn times_of(figures: Figures, times: &Times) -> Figures {
    figures
        .with("p50_ms", times.at(0.5))
        .with("p90_ms", times.at(0.9))
        .with("p99_ms", times.at(0.99))
        .with("p99.9_ms", times.at(0.999))
}

fn shown(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 || value.fract() == 0.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size.is_nan() => "-".to_owned(),
        _ => format!("{value:.2}"),
    }
}

/// How busy the machine is, with all that runs on it.
fn load_average() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split_whitespace().next()?.parse().ok()
}
