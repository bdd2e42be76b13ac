//! Adam, RMSprop and SGD, with Keras' formulas and constants, and a state that can be saved.

use std::sync::Mutex;

use candle_core::backprop::GradStore;
use candle_core::{CpuStorage, InplaceOp2, Layout, Result, Var, bail};
use clap::ValueEnum;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Which rule turns gradients into steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Algorithm {
    /// Kingma and Ba 2015: beta 0.9 and 0.999, epsilon 1e-7
    Adam,
    /// Hinton's RMSprop: rho 0.9, epsilon 1e-7
    #[value(name = "rmsprop")]
    RmsProp,
    /// Gradient descent, with momentum where one is given
    Sgd,
}

/// What an [`Optimizer`] is made from.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The rule.
    pub algorithm: Algorithm,
    /// The factor of each step.
    pub learning_rate: f64,
    /// How much of the last step SGD repeats, in `0..1`.
    pub momentum: f64,
    /// The share of each weight that a step of rate 1 takes away: decoupled weight decay (Loshchilov and Hutter 2019),
    /// which makes Adam AdamW. Vectors, which are biases and batch norm's, are left alone.
    pub weight_decay: f64,
}

/// An optimizer and its state.
pub struct Optimizer {
    settings: Settings,
    parameters: Vec<Var>,
    /// What the learning rate is multiplied with for each parameter.
    pub factors: Vec<f64>,
    /// Steps taken.
    pub steps: u64,
    /// What is remembered for each parameter: for Adam the two moments, for RMSprop the mean square, for SGD the velocity.
    pub slots: Vec<Vec<Vec<f32>>>,
}

/// The same split whatever the thread count.
const CHUNK: usize = 1 << 16;

impl candle_nn::Optimizer for Optimizer {
    type Config = Settings;

    fn new(parameters: Vec<Var>, settings: Settings) -> Result<Self> {
        let count = match settings.algorithm {
            Algorithm::Adam => 2,
            Algorithm::RmsProp | Algorithm::Sgd => 1,
        };
        let slots = parameters.iter().map(|var| vec![vec![0.0; var.elem_count()]; count]).collect();
        Ok(Self { settings, factors: vec![1.0; parameters.len()], parameters, steps: 0, slots })
    }

    fn step(&mut self, gradients: &GradStore) -> Result<()> {
        self.steps += 1;
        for ((parameter, factor), slots) in self.parameters.iter().zip(&self.factors).zip(&mut self.slots) {
            let Some(gradient) = gradients.get(parameter) else { bail!("a parameter has no gradient") };
            let settings = Settings { learning_rate: self.settings.learning_rate * factor, ..self.settings };
            let decay = if parameter.rank() > 1 { settings.learning_rate * settings.weight_decay } else { 0.0 };
            let (rule, kept) = (Rule::new(settings, self.steps), (1.0 - decay) as f32);
            parameter.inplace_op2(&gradient.contiguous()?, &Update { rule, kept, slots: Mutex::new(slots) })?;
        }
        Ok(())
    }

    fn learning_rate(&self) -> f64 {
        self.settings.learning_rate
    }

    fn set_learning_rate(&mut self, learning_rate: f64) {
        self.settings.learning_rate = learning_rate;
    }
}

/// The update of one step, with everything that is the same for all values worked out.
#[derive(Clone, Copy)]
enum Rule {
    Adam { rate: f32 },
    RmsProp { rate: f32 },
    Sgd { rate: f32, momentum: f32 },
}

impl Rule {
    fn new(settings: Settings, step: u64) -> Self {
        let rate = settings.learning_rate;
        match settings.algorithm {
            Algorithm::Adam => {
                let power = |beta: f32| 1.0 - f64::from(beta).powf(step as f64);
                Self::Adam { rate: (rate * power(BETA_2).sqrt() / power(BETA_1)) as f32 }
            }
            Algorithm::RmsProp => Self::RmsProp { rate: rate as f32 },
            Algorithm::Sgd => Self::Sgd { rate: rate as f32, momentum: settings.momentum as f32 },
        }
    }

    fn apply(self, parameters: &mut [f32], gradients: &[f32], slots: &mut [&mut [f32]]) {
        let values = parameters.iter_mut().zip(gradients);
        match (self, slots) {
            (Self::Adam { rate }, [mean, square]) => {
                for (((p, &g), m), v) in values.zip(mean.iter_mut()).zip(square.iter_mut()) {
                    *m += (1.0 - BETA_1) * (g - *m);
                    *v += (1.0 - BETA_2) * (g * g - *v);
                    *p -= rate * *m / (v.sqrt() + EPSILON);
                }
            }
            (Self::RmsProp { rate }, [square]) => {
                for ((p, &g), v) in values.zip(square.iter_mut()) {
                    *v += (1.0 - RHO) * (g * g - *v);
                    *p -= rate * g / (*v + EPSILON).sqrt();
                }
            }
            (Self::Sgd { rate, momentum }, [velocity]) => {
                for ((p, &g), v) in values.zip(velocity.iter_mut()) {
                    *v = momentum * *v - rate * g;
                    *p += *v;
                }
            }
            _ => unreachable!("`Optimizer::new` makes as many slots as the rule has"),
        }
    }
}

const BETA_1: f32 = 0.9;
const BETA_2: f32 = 0.999;
const RHO: f32 = 0.9;
const EPSILON: f32 = 1e-7;

/// One parameter's step, in place.
struct Update<'a> {
    rule: Rule,
    /// The share of the parameter that weight decay leaves.
    kept: f32,
    // candle hands the operation out by shared reference.
    slots: Mutex<&'a mut Vec<Vec<f32>>>,
}

impl InplaceOp2 for Update<'_> {
    fn name(&self) -> &'static str {
        "optimizer-step"
    }

    fn cpu_fwd(
        &self,
        parameters: &mut CpuStorage,
        layout: &Layout,
        gradients: &CpuStorage,
        gradient_layout: &Layout,
    ) -> Result<()> {
        let (CpuStorage::F32(parameters), CpuStorage::F32(gradients)) = (parameters, gradients) else {
            bail!("the optimizer works in f32")
        };
        let (Some(parameter_range), Some(gradient_range)) =
            (layout.contiguous_offsets(), gradient_layout.contiguous_offsets())
        else {
            bail!("the optimizer wants row-major tensors")
        };
        let parameters = &mut parameters[parameter_range.0..parameter_range.1];
        let gradients = &gradients[gradient_range.0..gradient_range.1];
        let Ok(mut slots) = self.slots.lock() else { bail!("an earlier step of the optimizer panicked") };
        let mut tasks: Vec<_> = parameters
            .chunks_mut(CHUNK)
            .zip(gradients.chunks(CHUNK))
            .map(|(parameters, gradients)| (parameters, gradients, Vec::new()))
            .collect();
        for slot in slots.iter_mut() {
            for (task, slot) in tasks.iter_mut().zip(slot.chunks_mut(CHUNK)) {
                task.2.push(slot);
            }
        }
        tasks.into_par_iter().for_each(|(p, g, mut slots)| {
            if self.kept < 1.0 {
                p.iter_mut().for_each(|p| *p *= self.kept);
            }
            self.rule.apply(p, g, &mut slots);
        });
        Ok(())
    }
}
