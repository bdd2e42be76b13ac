//! What comes before the training loop: a new run, or one that goes on.

use std::fs::{self, File, TryLockError};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use candle_nn::Optimizer as _;
use husky::spec::Provenance;
use husky::weights::{self, Precision};
use husky::{Classifier, Spec};

use super::progress::EpochProgress;
use super::{Run, count_correct};
use crate::callback::{Callback, Curves, EarlyStopping, Metrics};
use crate::checkpoint::{self, State};
use crate::config::Config;
use crate::files::{self, csv_bytes, write_atomically};
use crate::kinds::Kinds;
use crate::loader::{self, Loader};
use crate::network::{Frozen, Network};
use crate::optimizer::Optimizer;
use crate::presets::with_kinds;
use crate::tensorboard::TensorBoard;
use crate::{backbone, head, model_file, output};

impl Run {
    /// A new run in `folder`, which is made. Nothing is written before recipe and data are found good; then config and what
    /// precedes the first step: with a backbone, the fit of the last layer.
    ///
    /// # Errors
    /// One sentence that says what is wrong with the folder, the recipe, the data or the disk.
    pub fn start(folder: &Path, mut config: Config) -> Result<Self> {
        config.check()?;
        let file = folder.join("config.toml");
        if file.exists() {
            bail!(
                "{}: holds a run already; go on with it by `husky train --resume {0}`, or name another folder",
                folder.display()
            );
        }
        files::remove_leftovers(folder);
        let free = !folder.exists() || fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none());
        ensure!(free, "{}: is not an empty folder: name another with --out", folder.display());
        // From wherever the run is resumed, the data is found.
        config.data = fs::canonicalize(&config.data)
            .with_context(|| format!("{}: the data folder cannot be read", config.data.display()))?;
        for path in config.backbone.iter_mut().chain(&mut config.teacher) {
            *path = fs::canonicalize(&path).with_context(|| format!("{}: cannot be read", path.display()))?;
        }
        ensure!(
            !lies_among_photos(folder, &config.data)?,
            "{}: lies among the photos, and its pictures would be taken for some: name another with --out",
            folder.display()
        );
        let toml = config.to_toml()?;
        let mut run = Self::new(folder, config)?;
        fs::create_dir_all(folder).with_context(|| format!("{}: cannot be made", folder.display()))?;
        run._lock = Some(lock(folder)?);
        // Reading the photos took its time.
        ensure!(!file.exists(), "{}: another husky began a run there meanwhile", folder.display());
        // First, since with it alone the run can go on.
        write_atomically(&file, toml.as_bytes())?;
        run.report_skipped()?;
        run.begin()?;
        Ok(run)
    }

    /// A run from its last checkpoint or, where it was stopped before the first, from its beginning.
    ///
    /// # Errors
    /// One sentence that says what is wrong with the folder, or what changed in recipe or data since the run began.
    pub fn resume(folder: &Path) -> Result<Self> {
        let file = folder.join("config.toml");
        ensure!(file.exists(), "{}: no run is there: name the folder that was given to --out", folder.display());
        let lock = lock(folder)?;
        files::remove_leftovers(folder);
        let mut run = Self { _lock: Some(lock), ..Self::new(folder, Config::read(&file)?)? };
        run.report_skipped()?;
        let path = folder.join("checkpoint.safetensors");
        if path.exists() {
            run.average = run.averaged()?;
            let saved = checkpoint::load(&path, &run.network, run.average.as_ref(), &mut run.optimizer)?;
            // Before the steps, of which there may be as many as photos fill.
            ensure!(
                saved.photos_sha256 == run.spec.provenance.data,
                "{}: the photos changed since the run began; train anew with another --out",
                run.state.config.data.display()
            );
            ensure!(
                run.state.config.steps_alike(&saved.config),
                "{}: was changed since the run began: put back all but data, epochs (these, too, where the schedule is cosine), patience and desired_accuracy, or train anew with --config and --out",
                file.display()
            );
            run.state = State { config: run.state.config, ..saved };
        } else {
            run.begin()?;
        }
        Ok(run)
    }

    fn new(folder: &Path, mut config: Config) -> Result<Self> {
        let data = config.open_data()?;
        config.threshold_rule.check(data.labels.len())?;
        if config.steps_per_epoch == 0 {
            config.steps_per_epoch = data.training.len().div_ceil(config.batch_size) as u32;
        }
        let mut spec = config.preset.spec(data.labels.clone(), config.size);
        let kinds = (config.kinds > 0).then(|| Kinds::of(&data.training, &data.labels, config.kinds));
        let kinds = kinds.filter(|kinds| kinds.counts.iter().any(|&count| count > 1));
        if config.kinds > 0 && kinds.is_none() {
            output::say(format_args!(
                "no label has several kinds of at least {} photos: the labels alone are learned",
                config.kinds
            ));
        }
        if let Some(kinds) = &kinds {
            with_kinds(&mut spec.architecture, &kinds.counts);
        }
        spec.provenance = Provenance {
            version: env!("CARGO_PKG_VERSION").into(),
            date: config.date.clone(),
            seed: config.seed,
            epoch: 0,
            data: data.manifest_sha256(),
            training_photos: data.training.counts(),
            validation_photos: data.validation.counts(),
        };
        let mut tensors = Network::fresh(&spec, config.seed)?;
        if let Some(path) = &config.backbone {
            tensors.extend(backbone::load(path, config.preset, &spec)?);
        }
        let frozen = Frozen { layers: config.frozen_layers, statistics: config.backbone.is_some() };
        let network = Network::new(&spec, tensors, frozen).context("--frozen-layers")?;
        let parameters = network.parameters().values().cloned().collect();
        let mut optimizer = Optimizer::new(parameters, config.optimizer_settings())?;
        let depths = network.depths();
        let last = depths.iter().copied().max().unwrap_or_default();
        optimizer.factors = depths.iter().map(|depth| config.layer_decay.powi((last - depth) as i32)).collect();
        let teachers = config.teacher.iter().map(|path| teacher(path, &spec, kinds.as_ref())).collect::<Result<_>>()?;
        let state = State::new(config, spec.provenance.data.clone());
        let loader = Loader::new(loader::Options {
            seed: state.config.seed,
            batch_size: state.config.batch_size,
            input: spec.input.clone(),
            balance: state.config.balance,
            augmentation: Some(state.config.augmentation),
            detail: state.config.detail,
            teachers,
        })?;
        let callbacks: Vec<Box<dyn Callback>> =
            vec![Box::new(Metrics), Box::new(Curves), Box::new(TensorBoard), Box::new(EarlyStopping)];
        Ok(Self {
            folder: folder.to_owned(),
            _lock: None,
            data,
            kinds,
            loader,
            spec,
            network,
            average: None,
            optimizer,
            state,
            callbacks,
        })
    }

    /// What precedes the first step.
    fn begin(&mut self) -> Result<()> {
        let fit = || head::fit(&self.network, &self.data.training, &self.loader, self.kinds.as_ref());
        let fit = self.state.config.backbone.is_some().then(fit).transpose()?;
        self.average = self.averaged()?;
        // The backbone with a fitted last layer is epoch 0: what the others have to be better than.
        let Some(fit) = fit else { return Ok(()) };
        let accuracy = count_correct(&fit.logits, &fit.labels) as f64 / fit.labels.len() as f64;
        let validation = self.validate()?;
        self.state.epoch = 0;
        self.finish_epoch(fit.loss, accuracy, &validation)?;
        EpochProgress::new(&self.state).epoch(&self.state);
        Ok(())
    }

    /// The moving average at its start, where the recipe wants one.
    fn averaged(&self) -> Result<Option<Network>> {
        Ok((self.state.config.ema > 0.0).then(|| self.network.twin()).transpose()?)
    }

    fn report_skipped(&self) -> Result<()> {
        let skipped = &self.data.skipped;
        let report = self.folder.join("skipped.csv");
        if !skipped.is_empty() {
            output::say(format_args!("files skipped: {}, listed in {}", skipped.len(), report.display()));
        }
        write_atomically(&report, &csv_bytes(&["file", "reason"], skipped)?)
    }
}

/// Keeps another `husky` from training in `folder` for as long as the file is open. That is the folder itself, since those in
/// it are replaced.
fn lock(folder: &Path) -> Result<File> {
    let file = File::open(folder).with_context(|| format!("{}: cannot be read", folder.display()))?;
    // A file system without locks is no reason not to train.
    ensure!(
        !matches!(file.try_lock(), Err(TryLockError::WouldBlock)),
        "{}: another husky is training there: wait until it is done, or stop it",
        folder.display()
    );
    Ok(file)
}

/// Whether what is put into `folder` would be found where photos of `data` are looked for.
fn lies_among_photos(folder: &Path, data: &Path) -> Result<bool> {
    let folder = std::path::absolute(folder)?;
    // Links are followed as far as something is there.
    let follow = |path: &Path| {
        let there = |above: &Path| Some(fs::canonicalize(above).ok()?.join(path.strip_prefix(above).ok()?));
        path.ancestors().find_map(there)
    };
    let parts = if data.join("training").is_dir() { &["training", "validation"][..] } else { &[""] };
    let mut parts = parts.iter().filter_map(|part| follow(&data.join(part)));
    Ok(follow(&folder).is_some_and(|folder| parts.any(|part| folder.starts_with(part))))
}

/// The model at `path`, which has to know the same labels and the same kinds of them, if there are any: it then answers with
/// kinds, too.
fn teacher(path: &Path, spec: &Spec, kinds: Option<&Kinds>) -> Result<Classifier> {
    let file = model_file::read(path)?;
    let (mut known, weights) = weights::read(&file).with_context(|| path.display().to_string())?;
    ensure!(
        known.labels == spec.labels,
        "{}: knows the labels {:?} and can't teach {:?}",
        path.display(),
        known.labels,
        spec.labels
    );
    let Some(kinds) = kinds else { return Ok(Classifier::load(&file)?) };
    ensure!(
        known.architecture.0.last() == spec.architecture.0.last(),
        "{}: was not trained on the kinds of these photos and can't teach them: train it with the same --kinds",
        path.display()
    );
    known.architecture.0.pop();
    known.labels = (0..kinds.count()).map(|kind| kind.to_string()).collect();
    known.unsure = None;
    Ok(Classifier::load(&weights::write(&known, &weights, Precision::F32)?)?)
}
