-- Is the captioner less sure of fakes, and do unsure captions fit worse?
-- A row is one kind (real, fake).
--
-- Clean images with a caption only.
-- param generator text null: only this generator, as in clean_images
-- kind              real, fake, or null where the label is unknown
-- images            distinct images
-- num_tokens        mean number of tokens of the captions
-- mean_logprob      mean over the images of a token's mean log-probability
-- mean_logprob_sd   standard deviation over the images
-- mean_logprob_p10  a tenth of the images is below
-- mean_logprob_p90  a tenth of the images is above
-- correlation       of mean_logprob and the global cosine; null if one is
--                   constant

with joined as (

    select
        case label when 0 then 'real' when 1 then 'fake' end as kind,
        cosine_global,
        num_tokens,
        mean_logprob
    from clean_images
    where
        num_tokens is not null
        and ($generator::varchar is null or generator = $generator)

)

select
    kind,
    count(*) as images,
    avg(num_tokens) as num_tokens,
    avg(mean_logprob) as mean_logprob,
    stddev_samp(mean_logprob) as mean_logprob_sd,
    quantile_cont(mean_logprob, 0.1) as mean_logprob_p10,
    quantile_cont(mean_logprob, 0.9) as mean_logprob_p90,
    if(
        stddev_pop(mean_logprob) > 0 and stddev_pop(cosine_global) > 0,
        corr(mean_logprob, cosine_global),
        null
    ) as correlation
from joined
group by kind
order by kind desc
