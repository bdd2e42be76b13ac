//! `husky summary`: a network's layers, and what a model file says about itself.

use std::{fmt::Write, path::PathBuf, process::ExitCode};

use anyhow::{Context, Result};
use husky::{
    Spec,
    spec::{Architecture, Layer, Shape, Step},
    weights::{self, Precision},
};
use indicatif::HumanCount;

use crate::{model_file, output, presets::Preset};

/// Show a network's layers and, of a model file, what it says about itself
///
/// Example: husky summary models/husky.safetensors
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub struct SummaryArgs {
    /// A model file
    #[arg(value_name = "FILE")]
    pub model: Option<PathBuf>,
    /// A network that can be trained, for two labels
    #[arg(long, value_name = "NAME")]
    pub preset: Option<Preset>,
}

/// Runs the command.
///
/// # Errors
/// One sentence for a model file that can't be read or is wrong.
pub fn run(args: &SummaryArgs) -> Result<ExitCode> {
    let text = match (&args.model, args.preset) {
        (Some(path), _) => {
            let bytes = model_file::read(path)?;
            let named = || path.display().to_string();
            let (spec, _) = weights::read(&bytes).with_context(named)?;
            let precision = weights::precision(&bytes).with_context(named)?;
            layers(&spec.name, &spec.architecture, spec.input.size)? + &metadata(&spec, precision, bytes.len())
        }
        (None, Some(preset)) => layers(preset.name(), &preset.architecture(2), preset.input().size)?,
        (None, None) => String::new(), // clap asks for one of them.
    };
    output::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// The layers in a box, like Keras' `model.summary()`.
///
/// # Errors
/// Where the architecture does not fit together.
pub fn layers(name: &str, architecture: &Architecture, size: u32) -> Result<String> {
    let mut rows = Vec::new();
    let mut total = 0;
    for (i, layer) in architecture.0.iter().enumerate() {
        // A pool is fused into the convolution before it, so the shape after each layer is that of a network that ends
        // there.
        let steps = Architecture(architecture.0[..=i].to_vec()).steps(size)?;
        let parameters: usize = steps.iter().flat_map(Step::parameters).map(|p| p.count()).sum();
        let output = steps.last().map(|step| step.output).context("a network has a layer")?;
        rows.push([type_and_name(layer, &architecture.0[..=i]), shape(output), thousands(parameters - total)]);
        total = parameters;
    }
    let megabytes = total as f64 * 4.0 / f64::from(1 << 20);
    Ok(format!("Model: {name:?}\n{}Total params: {} ({megabytes:.2} MB)\n", boxed(&rows), thousands(total)))
}

/// As `conv2d_2 (Conv2D)`: layers of a type are counted from 1, as the tensors' names in a model file.
fn type_and_name(layer: &Layer, until: &[Layer]) -> String {
    let of = |layer: &Layer| match layer {
        Layer::Conv2d { .. } => ("conv2d", "Conv2D"),
        Layer::DepthwiseConv2d { .. } => ("depthwise_conv2d", "DepthwiseConv2D"),
        Layer::Residual { .. } => ("residual", "Residual"),
        Layer::GlobalAveragePool2d => ("global_average_pooling2d", "GlobalAveragePooling2D"),
        Layer::MaxPool2d => ("max_pooling2d", "MaxPooling2D"),
        Layer::Dropout { .. } => ("dropout", "Dropout"),
        Layer::Flatten => ("flatten", "Flatten"),
        Layer::Dense { .. } => ("dense", "Dense"),
        Layer::LogSumExp { .. } => ("log_sum_exp", "LogSumExp"),
    };
    let (name, type_name) = of(layer);
    let number = until.iter().filter(|other| of(other) == (name, type_name)).count();
    format!("{name}_{number} ({type_name})")
}

fn shape(shape: Shape) -> String {
    match shape {
        Shape::Image { height, width, channels } => format!("(None, {height}, {width}, {channels})"),
        Shape::Vector(length) => format!("(None, {length})"),
    }
}

/// As `3,304,769`.
fn thousands(number: usize) -> String {
    HumanCount(number as u64).to_string()
}

fn boxed(rows: &[[String; 3]]) -> String {
    let head = ["Layer (type)", "Output Shape", "Param #"].map(str::to_owned);
    let width = |column: usize| rows.iter().chain([&head]).map(|row| row[column].len()).max().unwrap_or_default();
    let widths = [width(0), width(1), width(2)];
    let rule = |left: char, line: &str, middle: char, right: char| {
        let [a, b, c] = widths.map(|width| line.repeat(width + 2));
        format!("{left}{a}{middle}{b}{middle}{c}{right}\n")
    };
    let [a, b, c] = widths;
    let line = |bar: char, [name, shape, count]: &[String; 3]| {
        format!("{bar} {name:<a$} {bar} {shape:<b$} {bar} {count:>c$} {bar}\n")
    };
    let body: Vec<String> = rows.iter().map(|row| line('│', row)).collect();
    [
        rule('┏', "━", '┳', '┓'),
        line('┃', &head),
        rule('┡', "━", '╇', '┩'),
        body.join(&rule('├', "─", '┼', '┤')),
        rule('└', "─", '┴', '┘'),
    ]
    .concat()
}

fn metadata(spec: &Spec, precision: Precision, bytes: usize) -> String {
    let Spec { input, labels, temperature, threshold, unsure, provenance, .. } = spec;
    let per_label = |counts: &[usize]| {
        let counts = labels.iter().zip(counts).map(|(label, &count)| format!("{} {label}", thousands(count)));
        counts.collect::<Vec<_>>().join(", ")
    };
    let precision = match precision {
        Precision::F32 => "f32",
        Precision::F16 => "f16",
        Precision::I8 => "int8",
    };
    let positive =
        if labels.len() == 2 { format!(" ({:?} from this probability on)", labels[0]) } else { " (unused)".to_owned() };
    let rows = [
        ("File", format!("{} bytes, {precision} weights", thousands(bytes))),
        ("Labels", labels.join(", ")),
        ("Input", format!("{0} x {0} pixels, stretched, (pixel - {1:?}) * {2:?}", input.size, input.mean, input.scale)),
        ("Temperature", temperature.to_string()),
        ("Threshold", format!("{threshold}{positive}")),
        ("Unsure", unsure.map_or_else(|| "never".to_owned(), |[low, high]| format!("between {low} and {high}"))),
        ("Trained by", format!("husky {}", provenance.version)),
        ("Released", provenance.date.clone().unwrap_or_else(|| "-".to_owned())),
        ("Seed", provenance.seed.to_string()),
        ("Epoch", provenance.epoch.to_string()),
        ("Data", provenance.data.clone()),
        ("Training", per_label(&provenance.training_photos)),
        ("Validation", per_label(&provenance.validation_photos)),
    ];
    rows.iter().fold(String::new(), |mut text, (name, value)| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name:<12} {value}");
        text
    })
}
