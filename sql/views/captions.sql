-- One row: one image with its caption.
--
-- image_id      as in images
-- caption       what the captioner says; null if it failed
-- num_tokens    tokens of the caption
-- mean_logprob  mean log-probability of a token, in nats
-- error         why there is no caption; null if there is one

with source as (

    from store.{{ node }}

),

renamed as (

    select
        image_id,
        caption,
        num_tokens,
        mean_logprob,
        error
    from source

)

from renamed
