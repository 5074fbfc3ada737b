-- When a run says 80 % fake, are 80 % fake?
-- A row is one bin of the probability that holds a prediction, lowest first.
--
-- The share of fakes among the tested images moves the share in every bin:
-- compare the two only where both kinds are about as frequent as in use.
-- param run text null: run_id; null: this DAG's newest run
-- param method text null: of the run; null: the best on validation images
-- param bins integer 10: how many, equally wide
-- param generator text null: only this tested generator
-- param variant text null: of tested images; null: that of training images
-- bin_from     lower edge, included
-- bin_to       upper edge, excluded but for 1
-- n            predictions
-- probability  mean probability of fake
-- fake_share   share of fakes
-- gap          probability - fake_share: above 0, too sure of fakes
-- experiment   of the run that was asked
-- run_id       the run that was asked
-- method       the method that was asked

with source as (

    select
        predictions.experiment,
        predictions.run_id,
        predictions.method,
        predictions.label,
        predictions.probability,
        least(
            floor(predictions.probability * $bins::bigint)::bigint,
            $bins::bigint - 1
        ) as bin
    from predictions
    inner join chosen_method($run, $method, $variant)
        using (experiment, run_id, method, variant)
    where $generator::varchar is null or predictions.generator = $generator

)

select
    bin / $bins::bigint as bin_from,
    (bin + 1) / $bins::bigint as bin_to,
    count(*) as n,
    avg(probability) as probability,
    avg(label) as fake_share,
    avg(probability) - avg(label) as gap,
    any_value(experiment) as experiment,
    any_value(run_id) as run_id,
    any_value(method) as method
from source
group by bin
order by bin
