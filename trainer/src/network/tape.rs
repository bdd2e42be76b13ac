//! What a forward pass did, for the way back.

use std::sync::Arc;

use candle_core::backprop::GradStore;
use candle_core::{CustomOp1, CustomOp2, CustomOp3, Result, Tensor, bail};
use husky_ops::Dropout;

use super::DropoutKey;
use crate::random::{self, Stream};

/// A forward pass under way.
pub(super) struct Pass {
    /// None but in training.
    dropout: Option<DropoutKey>,
    /// Dropout layers so far.
    dropouts: u8,
    /// What was computed, in order; empty but in training.
    pub(super) tape: Vec<Node>,
}

/// An operation, what it was applied to, and its result.
///
/// This takes the place of candle's own tape, which adds each gradient to a tensor of zeros: four passes over the memory
/// and two new buffers for every one of them, half the time of a network of many thin layers.
pub(super) enum Node {
    One(Arc<Box<dyn CustomOp1 + Send + Sync>>, [Tensor; 1], Tensor),
    Two(Arc<Box<dyn CustomOp2 + Send + Sync>>, [Tensor; 2], Tensor),
    Three(Arc<Box<dyn CustomOp3 + Send + Sync>>, [Tensor; 3], Tensor),
    Add([Tensor; 2], Tensor),
    Reshape([Tensor; 1], Tensor),
}

impl Pass {
    pub(super) fn new(dropout: Option<DropoutKey>) -> Self {
        Self { dropout, dropouts: 0, tape: Vec::new() }
    }

    pub(super) fn is_training(&self) -> bool {
        self.dropout.is_some()
    }

    /// The next dropout layer.
    pub(super) fn dropout(&mut self, rate: f32) -> Option<Dropout> {
        let layer = self.dropouts;
        self.dropouts += 1;
        let DropoutKey { seed, epoch, first_sample } = self.dropout?;
        Some(Dropout::new(rate, random::key(seed, Stream::Dropout(layer), epoch, first_sample)))
    }

    pub(super) fn one(&mut self, op: impl CustomOp1 + Send + Sync + 'static, x: Tensor) -> Result<Tensor> {
        if !self.is_training() {
            return x.apply_op1_no_bwd(&op);
        }
        let op: Arc<Box<dyn CustomOp1 + Send + Sync>> = Arc::new(Box::new(op));
        let y = x.apply_op1_arc(Arc::clone(&op))?;
        self.record(Node::One(op, [x], y.clone()), &y);
        Ok(y)
    }

    pub(super) fn two(&mut self, op: impl CustomOp2 + Send + Sync + 'static, a: Tensor, b: Tensor) -> Result<Tensor> {
        if !self.is_training() {
            return a.apply_op2_no_bwd(&b, &op);
        }
        let op: Arc<Box<dyn CustomOp2 + Send + Sync>> = Arc::new(Box::new(op));
        let y = a.apply_op2_arc(&b, Arc::clone(&op))?;
        self.record(Node::Two(op, [a, b], y.clone()), &y);
        Ok(y)
    }

    pub(super) fn three(
        &mut self,
        op: impl CustomOp3 + Send + Sync + 'static,
        a: Tensor,
        b: Tensor,
        c: Tensor,
    ) -> Result<Tensor> {
        if !self.is_training() {
            return a.apply_op3_no_bwd(&b, &c, &op);
        }
        let op: Arc<Box<dyn CustomOp3 + Send + Sync>> = Arc::new(Box::new(op));
        let y = a.apply_op3_arc(&b, &c, Arc::clone(&op))?;
        self.record(Node::Three(op, [a, b, c], y.clone()), &y);
        Ok(y)
    }

    pub(super) fn add(&mut self, a: Tensor, b: Tensor) -> Result<Tensor> {
        let y = (&a + &b)?;
        self.record(Node::Add([a, b], y.clone()), &y);
        Ok(y)
    }

    pub(super) fn flatten(&mut self, x: Tensor) -> Result<Tensor> {
        let y = x.flatten_from(1)?;
        self.record(Node::Reshape([x], y.clone()), &y);
        Ok(y)
    }

    /// Of what no parameter is in, there is no way back.
    fn record(&mut self, node: Node, y: &Tensor) {
        if y.track_op() {
            self.tape.push(node);
        }
    }
}

impl Node {
    /// What it was applied to, each with its gradient, where it has one, from the gradient of the result.
    pub(super) fn backward(self, gradients: &mut GradStore) -> Result<Vec<(Tensor, Option<Tensor>)>> {
        let mut gradient = |y: &Tensor| match gradients.remove(y) {
            Some(gradient) => Ok(gradient),
            None => bail!("a result has no gradient"),
        };
        Ok(match self {
            Self::One(op, [x], y) => {
                let dx = op.bwd(&x, &y, &gradient(&y)?)?;
                vec![(x, dx)]
            }
            Self::Two(op, [a, b], y) => {
                let (da, db) = op.bwd(&a, &b, &y, &gradient(&y)?)?;
                vec![(a, da), (b, db)]
            }
            Self::Three(op, [a, b, c], y) => {
                let (da, db, dc) = op.bwd(&a, &b, &c, &y, &gradient(&y)?)?;
                vec![(a, da), (b, db), (c, dc)]
            }
            Self::Add([a, b], y) => {
                let dy = gradient(&y)?;
                vec![(a, Some(dy.clone())), (b, Some(dy))]
            }
            Self::Reshape([x], y) => {
                let dx = gradient(&y)?.reshape(x.shape())?;
                vec![(x, Some(dx))]
            }
        })
    }
}
