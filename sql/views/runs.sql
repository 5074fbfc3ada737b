-- One row: one method of one trained run, tested on one generator in one
-- variant of its images: most runs test the one that they trained on, and no
-- other. The runs are all of the store's, whichever DAG trained them. Runs
-- written by another version may have other columns besides: they are here
-- too, null elsewhere. A run's means over the generators that it has not seen,
-- where it has them, are no rows here, but the rows of store.runs with
-- scope = 'mean'.
--
-- experiment  its name in the DAG
-- run_id      hash of its configuration and data; unique in an experiment
-- saved       when the run was written (UTC), by its file's time
-- method      the head's features, or the baseline's name
-- variant     of the tested images: clean, or the name of the perturbation
-- generator   the tested one, as in listing
-- seen        whether fakes of this generator were trained on
-- ap          average precision; null when a class is missing
-- chance      average precision that a ranking by lot has on average
-- prevalence  share of fakes
-- auroc       area under the ROC curve; null when a class is missing
-- fpr95       share of reals called fake where 95 % of the fakes are
-- auroc_low   lower end of the 95 % interval of auroc; null: no resamples
-- auroc_high  its upper end
-- accuracy    share of right answers
-- tnr         share of reals called real
-- tpr         share of fakes called fake
-- balanced_accuracy  mean of tnr and tpr
-- nll            mean -ln(probability of the truth), in nats
-- ece            calibration error, in 15 bins
-- validation_ap  average precision on validation images
-- threshold      fake from here on; of the best balanced accuracy on these
-- temperature    what logits are divided by; of the least nll on these
-- unsure_low     surely real below; null: no verdict real is sure
-- unsure_high    surely fake from here on; null: no verdict fake is sure
-- accuracy_at_threshold           accuracy with that threshold
-- balanced_accuracy_at_threshold  the same, balanced
-- tnr_at_threshold                tnr with that threshold
-- tpr_at_threshold                tpr with that threshold
-- nll_scaled     nll at that temperature
-- ece_scaled     ece at that temperature
-- share_unsure   share of images between unsure_low and unsure_high
-- accuracy_sure  share of right answers among the others
-- ap_less_clean        ap - that of the same images clean: below 0, it drops;
--                      null of clean images, and where these are not tested
-- accuracy_less_clean  the same of accuracy
-- n              tested images
-- seed           of the heads and of what is set aside for validation
-- allow_overlap  whether a generator might be trained and tested on
-- train          the predicate of the training rows
-- train_variant  of the training images, and the validation images
-- configuration  JSON of what is not at its default, without the seed
-- dag            the name of the DAG by which it was trained
-- state          hash of the nodes that its rows were made from: two states of
--                one DAG differ
-- current        whether it is one of this DAG, as it is now: trained by its
--                name, and all that it was made from is in its nodes still;
--                where the corpus lies, and a --limit, are no part of that

with source as (

    from store.runs

),

asked as (

    select
        asked_dag.name,
        (
            select list(fingerprint) filter (where fingerprint is not null)
            from nodes
        ) as fingerprints
    from store.asked_dag

)

select
    source.* exclude (scope, made_from),
    left(md5(array_to_string(source.made_from, ' ')), 8) as state,
    coalesce(source.dag, '') = asked.name
    and list_has_all(
        coalesce(asked.fingerprints, []), coalesce(source.made_from, [])
    ) as current
from source
cross join asked
where scope is null or scope = 'generator'
