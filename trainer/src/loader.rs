//! Batches of a split, made in the background while the step before them is computed.

use std::{
    ops::Range,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::JoinHandle,
};

use anyhow::{Context, Result};
use candle_core::{Device, Tensor};
use husky::{Classifier, Pixels, resize::resize, spec::Input};
use rand::{Rng, seq::SliceRandom};
use rayon::{ThreadPool, ThreadPoolBuilder, prelude::*};

use crate::{
    augment::Augmentation,
    dataset::Split,
    random::{Stream, rng},
};

/// How batches are made.
pub struct Options {
    /// Of order and distortions.
    pub seed: u64,
    /// Photos in a batch.
    pub batch_size: usize,
    /// What the network is fed.
    pub input: Input,
    /// Whether the batches of [`Loader::epoch`] have each label equally often.
    pub balance: bool,
    /// Distorts the photos of [`Loader::epoch`].
    pub augmentation: Option<Augmentation>,
    /// Side of the photos that are distorted, if it is not the network's.
    pub detail: Option<u32>,
    /// What judges them, once distorted, too.
    pub teachers: Vec<Classifier>,
}

/// Some photos, ready for the network.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// `[batch, size, size, 3]`, normalised.
    pub inputs: Vec<f32>,
    /// The place of each photo in its split.
    pub photos: Vec<usize>,
    /// The index of each photo's label.
    pub labels: Vec<usize>,
    /// The teachers' mean probability of each of their labels, photo by photo; empty without teachers.
    pub taught: Vec<Vec<f64>>,
    /// The place of the first photo in the epoch or split.
    pub first: usize,
}

impl Batch {
    /// The inputs as the network takes them, `[batch, size, size, 3]`.
    ///
    /// # Errors
    /// There are not as many inputs as labels say.
    pub fn tensor(&self) -> candle_core::Result<Tensor> {
        let count = self.labels.len();
        let size = (self.inputs.len() / count / 3).isqrt();
        Tensor::from_slice(&self.inputs, (count, size, size, 3), &Device::Cpu)
    }
}

/// Makes [`Batch`]es, in threads of its own.
pub struct Loader {
    options: Arc<Options>,
    pool: Arc<ThreadPool>,
}

/// Batches to come. Dropping it early stops the work.
pub struct Batches {
    /// `None` only while it is dropped.
    receiver: Option<Receiver<Result<Batch>>>,
    thread: Option<JoinHandle<()>>,
}

/// How many batches may wait to be used.
const AHEAD: usize = 2;
/// One thread distorts 3,000 pictures a second, so more than a few would only take time from the step.
const MAX_THREADS: usize = 4;

impl Loader {
    /// Starts the threads.
    ///
    /// # Errors
    /// Where the system has no more threads.
    pub fn new(options: Options) -> Result<Self> {
        let threads = rayon::current_num_threads().min(MAX_THREADS);
        let pool = ThreadPoolBuilder::new().num_threads(threads).thread_name(|_| "loader".to_owned()).build();
        let pool = Arc::new(pool.context("no threads can be started to load photos")?);
        Ok(Self { options: Arc::new(options), pool })
    }

    /// Full batches of epoch `epoch` (from 0), shuffled and augmented: those of `steps`, out of the epoch's `0..of`.
    ///
    /// Training runs through an endless sequence of photos, of which each epoch takes the next `steps * batch_size`, as
    /// Keras does with `steps_per_epoch`: all photos in a random order, then all in another, and so on. What an epoch
    /// holds follows from seed, epoch, its number of steps and batch size alone.
    ///
    /// # Errors
    /// Where the system has no more threads.
    pub fn epoch(&self, split: &Split, epoch: u64, steps: Range<usize>, of: usize) -> Result<Batches> {
        let (split, options) = (split.clone(), Arc::clone(&self.options));
        let batch_size = options.batch_size;
        let start = epoch * (of * batch_size) as u64;
        let mut order = Order::new(options.seed, &split, options.balance);
        let batch = move |places: Range<usize>| {
            let photos: Vec<usize> = places.clone().map(|place| order.photo(start + place as u64)).collect();
            make_batch(&split, &options, &photos, places.start, Some(epoch))
        };
        self.spawn(steps.map(move |step| step * batch_size..(step + 1) * batch_size), batch)
    }

    /// All photos in their order, as they are. The last batch may be smaller.
    ///
    /// # Errors
    /// Where the system has no more threads.
    pub fn in_order(&self, split: &Split) -> Result<Batches> {
        let (split, options) = (split.clone(), Arc::clone(&self.options));
        let (len, batch_size) = (split.len(), options.batch_size);
        let batch = move |places: Range<usize>| {
            let photos: Vec<usize> = places.clone().collect();
            make_batch(&split, &options, &photos, places.start, None)
        };
        self.spawn((0..len).step_by(batch_size).map(move |first| first..len.min(first + batch_size)), batch)
    }

    fn spawn(
        &self,
        places: impl Iterator<Item = Range<usize>> + Send + 'static,
        mut batch: impl FnMut(Range<usize>) -> Result<Batch> + Send + 'static,
    ) -> Result<Batches> {
        let (sender, receiver): (SyncSender<Result<Batch>>, _) = sync_channel(AHEAD);
        let pool = Arc::clone(&self.pool);
        let work = move || {
            for places in places {
                let batch = pool.install(|| batch(places));
                let failed = batch.is_err();
                // Nobody waits for the rest of an epoch that was dropped.
                if sender.send(batch).is_err() || failed {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("batches".to_owned()).spawn(work);
        let thread = thread.context("no thread can be started to load photos")?;
        Ok(Batches { receiver: Some(receiver), thread: Some(thread) })
    }
}

impl Iterator for Batches {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.receiver.as_ref()?.recv().ok();
        // A panic must not look like the end of an epoch.
        if batch.is_none()
            && let Some(Err(panic)) = self.thread.take().map(JoinHandle::join)
        {
            std::panic::resume_unwind(panic);
        }
        batch
    }
}

impl Drop for Batches {
    fn drop(&mut self) {
        self.receiver = None;
        if let Some(thread) = self.thread.take() {
            // A panic there was shown when it happened.
            let _ = thread.join();
        }
    }
}

/// The endless sequence of photos: of all, or of each label's in turn.
struct Order {
    seed: u64,
    sequences: Vec<Sequence>,
}

/// The endless sequence of some photos; remembers the pass that was asked for last.
#[derive(Clone, Default)]
struct Sequence {
    photos: Vec<usize>,
    pass: Option<u64>,
    shuffled: Vec<usize>,
}

impl Order {
    fn new(seed: u64, split: &Split, balance: bool) -> Self {
        let mut sequences = vec![Sequence::default(); if balance { split.labels() } else { 1 }];
        for photo in 0..split.len() {
            sequences[if balance { split.label(photo) } else { 0 }].photos.push(photo);
        }
        Self { seed, sequences }
    }

    fn photo(&mut self, place: u64) -> usize {
        let count = self.sequences.len() as u64;
        let (turn, place) = (place % count, place / count);
        let Sequence { photos, pass: known, shuffled } = &mut self.sequences[turn as usize];
        let (pass, place) = (place / photos.len() as u64, place % photos.len() as u64);
        if *known != Some(pass) {
            *known = Some(pass);
            shuffled.clone_from(photos);
            shuffled.shuffle(&mut rng(self.seed, Stream::Shuffle, pass, turn));
        }
        shuffled[place as usize]
    }
}

/// Reads, distorts where `epoch` is given, and normalises `photos`, which are at `first` and on in the epoch.
fn make_batch(split: &Split, options: &Options, photos: &[usize], first: usize, epoch: Option<u64>) -> Result<Batch> {
    let size = options.input.size as usize;
    let mut inputs = vec![0.0; photos.len() * size * size * 3];
    let make = |(i, (out, &photo)): (usize, (&mut [f32], &usize))| match epoch {
        Some(epoch) => distorted(
            split,
            options,
            photo,
            &mut rng(options.seed, Stream::Augmentation, epoch, (first + i) as u64),
            out,
        ),
        None => {
            let mut rgb = vec![0; out.len()];
            split.read(photo, &mut rgb)?;
            out.copy_from_slice(&options.input.normalize(&rgb));
            Ok(None)
        }
    };
    let pictures = inputs.par_chunks_exact_mut(size * size * 3).zip(photos).enumerate();
    let taught: Vec<Option<Vec<f64>>> = pictures.map(make).collect::<Result<_>>()?;
    let labels = photos.iter().map(|&photo| split.label(photo)).collect();
    Ok(Batch { inputs, photos: photos.to_vec(), labels, taught: taught.into_iter().flatten().collect(), first })
}

/// Reads, distorts and normalises a photo into `out`; returns what the teachers say about it.
fn distorted(
    split: &Split,
    options: &Options,
    photo: usize,
    rng: &mut impl Rng,
    out: &mut [f32],
) -> Result<Option<Vec<f64>>> {
    let Options { input, augmentation, detail, teachers, .. } = options;
    let side = detail.unwrap_or(input.size);
    let mut rgb = vec![0; side as usize * side as usize * 3];
    split.read_detail(photo, &mut rgb)?;
    let distortion = augmentation.unwrap_or(Augmentation::NONE).sample(rng);
    if detail.is_none() && teachers.is_empty() {
        distortion.apply(&rgb, side as usize, out);
        for pixel in out.as_chunks_mut::<3>().0 {
            *pixel = input.normalize_pixel(*pixel);
        }
        return Ok(None);
    }
    // All see the same picture, each at its own size and through the same resize as in use.
    let mut picture = vec![0.0; rgb.len()];
    distortion.apply(&rgb, side as usize, &mut picture);
    let picture = Pixels::from_rgb(side, side, picture.into_iter().map(|value| value.round() as u8).collect())?;
    out.copy_from_slice(&input.normalize(resize(&picture, input.size).rgb()));
    let mut mean = vec![0.0; teachers.first().map_or(0, |teacher| teacher.spec().labels.len())];
    for teacher in teachers {
        for (mean, probability) in mean.iter_mut().zip(teacher.classify_pixels(&picture)?.probabilities) {
            *mean += f64::from(probability) / teachers.len() as f64;
        }
    }
    Ok((!teachers.is_empty()).then_some(mean))
}
