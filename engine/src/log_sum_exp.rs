//! What a label is given that is made of several kinds.

/// Of each group of `values` the logarithm of their summed exponentials, which is the logit of "one of these"; of two groups
/// the difference of both.
pub(crate) fn forward(groups: &[usize], values: &[f32]) -> Vec<f32> {
    let sums: Vec<f32> = each(groups, values).map(log_sum_exp).collect();
    if let [first, second] = sums[..] { vec![first - second] } else { sums }
}

/// The derivative by each of `values`, from that by each output.
pub(crate) fn gradient(groups: &[usize], values: &[f32], gradient: &[f32]) -> Vec<f32> {
    let of_group = |group: usize| if groups.len() == 2 && group == 1 { -gradient[0] } else { gradient[group] };
    let shares = |(group, values)| {
        let sum = log_sum_exp(values);
        values.iter().map(move |value| (value - sum).exp() * of_group(group))
    };
    each(groups, values).enumerate().flat_map(shares).collect()
}

fn each<'a>(groups: &[usize], mut values: &'a [f32]) -> impl Iterator<Item = &'a [f32]> {
    groups.iter().map(move |&count| {
        let (group, rest) = values.split_at(count);
        values = rest;
        group
    })
}

/// Around the largest, so that nothing overflows.
fn log_sum_exp(values: &[f32]) -> f32 {
    let largest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    largest + values.iter().map(|value| (value - largest).exp()).sum::<f32>().ln()
}
