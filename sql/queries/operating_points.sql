-- How many fakes does a run find, and at what cost in reals, at any threshold?
-- A row is one point of a generator's ROC curve, the surest images first.
--
-- The curve of precision and recall goes through the same points. Predictions
-- of one probability are one point; of the points those are left out that are
-- nearer than 1 / points to the one before in both rates. A generator without
-- real or without fake test images has none.
-- param run text null: run_id; null: this DAG's newest run
-- param method text null: of the run; null: the best on validation images
-- param points integer 200: a step along either rate is 1 / points at least
-- param variant text null: of tested images; null: that of training images
-- generator   the tested one
-- threshold   called fake from this probability
-- fpr         share of reals called fake
-- tpr         share of fakes called fake: the recall
-- precision   share of fakes among what is called fake
-- reals       tested reals
-- fakes       tested fakes
-- experiment  of the run that was asked
-- run_id      the run that was asked
-- method      the method that was asked

with counted as (

    select
        predictions.experiment,
        predictions.run_id,
        predictions.method,
        predictions.generator,
        predictions.probability,
        count(*) filter (where predictions.label = 0) as reals,
        count(*) filter (where predictions.label = 1) as fakes
    from predictions
    inner join chosen_method($run, $method, $variant)
        using (experiment, run_id, method, variant)
    group by all

),

added as (

    select
        experiment,
        run_id,
        method,
        generator,
        probability,
        sum(reals) over surest as false_positives,
        sum(fakes) over surest as true_positives,
        sum(reals) over whole as reals,
        sum(fakes) over whole as fakes
    from counted
    window
        whole as (partition by generator),
        surest as (partition by generator order by probability desc)

),

rates as (

    select
        *,
        false_positives / reals as fpr,
        true_positives / fakes as tpr
    from added
    where reals > 0 and fakes > 0

),

-- the last point is (1, 1)
thinned as (

    select *
    from rates
    window surest as (partition by generator order by probability desc)
    qualify
        floor(fpr * $points::bigint) is distinct from
        floor(lag(fpr) over surest * $points::bigint)
        or floor(tpr * $points::bigint) is distinct from
        floor(lag(tpr) over surest * $points::bigint)
        or (fpr = 1 and tpr = 1)

)

select
    generator,
    probability as threshold,
    fpr,
    tpr,
    true_positives / (true_positives + false_positives) as precision,
    reals::bigint as reals,
    fakes::bigint as fakes,
    experiment,
    run_id,
    method
from thinned
order by generator, threshold desc
