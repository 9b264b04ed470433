#include "tenancy/keys.h"

#include "model/histogram_check.h"
#include "model/tenant.h"
#include "tenancy/retention_rules.h"
#include "wire/batch.h"

#define KEY(path_, type_, initial_, min_, max_, doc_)                                              \
    {                                                                                              \
        .path = (path_), .type = (type_), .initial = (initial_), .min = (min_), .max = (max_),     \
        .doc = (doc_), .reloadable = true, .per_tenant = true                                      \
    }
#define LIMIT(path_, type_, initial_, max_, doc_)                                                  \
    KEY("limits." path_, type_, initial_, 0, max_, doc_)

static const struct mrd_config_key write_keys[] = {
    LIMIT("ingestion_rate", MRD_CONFIG_FLOAT, "0", 1e12,
          "Samples, histograms and exemplars a second that a tenant may send to this process. 0: "
          "no limit."),
    LIMIT("ingestion_burst", MRD_CONFIG_FLOAT, "0", 1e12,
          "Samples that a tenant may send at once under ingestion_rate. 0: ten seconds' worth."),
    LIMIT("request_body_bytes_max", MRD_CONFIG_SIZE, "32MiB", 1e10,
          "Size of a request body as sent. More is answered with 413. 0: no limit but 1 GiB."),
    LIMIT("decoded_bytes_max", MRD_CONFIG_SIZE, "128MiB", 1e10,
          "Size of a request body after decompression. 0: no limit but 1 GiB."),
    LIMIT("active_series_max", MRD_CONFIG_INT, "0", 1e12,
          "Series that a tenant may have in the ingesters, in all partitions together. Samples of "
          "further ones are refused, those of series that are there go on being taken. 0: no "
          "limit."),
    LIMIT("labels_per_series_max", MRD_CONFIG_INT, "60", 512,
          "Labels of a series, the metric name included. 0: no limit but 512."),
    LIMIT("label_name_bytes_max", MRD_CONFIG_SIZE, "1024", 1e9,
          "Size of a label name. 0: no limit."),
    LIMIT("label_value_bytes_max", MRD_CONFIG_SIZE, "4096", 1e9,
          "Size of a label value. 0: no limit."),
    LIMIT("creation_grace_period", MRD_CONFIG_DURATION, "10m", 1e12,
          "How far in the future a sample may lie. 0: no limit."),
    LIMIT("histogram_buckets_max", MRD_CONFIG_INT, "0", MRD_HISTOGRAM_PARTS_MAX,
          "Buckets of a native histogram, both sides together. 0: no limit but 8192."),
    LIMIT("exemplars_per_request_max", MRD_CONFIG_INT, "0", 1e9,
          "Exemplars of one request; those beyond it are refused. 0: no limit."),
    LIMIT("metadata_per_request_max", MRD_CONFIG_INT, "0", 1e9,
          "Metadata entries of one request; those beyond it are refused. 0: no limit."),
    LIMIT("metadata_bytes_max", MRD_CONFIG_SIZE, "16KiB", MRD_BATCH_METADATA_SIZE_MAX,
          "Size of a metric family's name, help and unit together. 0: no limit but 64 KiB."),
};

/* The names that promql/features.h takes. */
static const char *const feature_choices[] = {
    "promql-experimental-functions",
    "promql-extended-range-selectors",
    "promql-binop-fill-modifiers",
    "promql-delayed-name-removal",
    "promql-duration-expr",
    "type-and-unit-labels",
    "use-start-timestamps",
    "all",
    NULL,
};

static const struct mrd_config_key query_keys[] = {
    KEY("querier.tenant_concurrency", MRD_CONFIG_INT, "0", 0, 1024,
        "Queries of one tenant that are evaluated, or read slowly, at once. 0: all but one of "
        "querier.concurrency."),
    KEY("querier.tenant_queries_max", MRD_CONFIG_INT, "128", 0, 1e6,
        "Queries of one tenant that run or wait at most; more are answered with 429. 0: no limit."),
    KEY("querier.query_timeout", MRD_CONFIG_DURATION, "2m", 1, 86400000,
        "Longest time of a query; the parameter timeout can only shorten it. More than "
        "http.request_timeout has no effect."),
    KEY("querier.lookback_delta", MRD_CONFIG_DURATION, "5m", 1, 1e12,
        "How far an instant selector looks back."),
    KEY("querier.max_source_resolution", MRD_CONFIG_DURATION, "1d", 0, 1e12,
        "The coarsest rollups that may answer a query where they say as much as the samples; the "
        "parameter max_source_resolution says otherwise for a query. 0: samples alone."),
    KEY("querier.samples_max", MRD_CONFIG_INT, "50000000", 0, 1e15,
        "Samples that one query may hold at once. 0: no limit."),
    KEY("querier.series_max", MRD_CONFIG_INT, "0", 0, 1e15,
        "Series that one selector may find. 0: no limit."),
    KEY("querier.steps_max", MRD_CONFIG_INT, "11000", 1, 1e9,
        "Steps of a range query, counted as Prometheus does: its range divided by its step."),
    KEY("querier.range_max", MRD_CONFIG_DURATION, "0s", 0, 1e14,
        "Time from start to end of a range query. 0: no limit."),
    KEY("querier.lookback_max", MRD_CONFIG_DURATION, "0s", 0, 1e14,
        "How far back from now a query may look. What lies before that is not an error: it is left "
        "out. 0: no limit."),
    KEY("querier.memory_bytes_max", MRD_CONFIG_SIZE, "1GiB", 1 << 20, 1e15,
        "Memory that one query may use."),
    KEY("querier.response_bytes_max", MRD_CONFIG_SIZE, "512MiB", 1 << 10, 1e15,
        "Size of one answer at most, as far as it is known before the first byte is sent."),
    KEY("querier.read_samples_max", MRD_CONFIG_INT, "50000000", 0, 1e15,
        "Samples of one remote read that is not streamed. 0: no limit."),
    KEY("querier.slow_query_log", MRD_CONFIG_DURATION, "0s", 0, 86400000,
        "Queries that take at least this long, from request to answer, are logged with where their "
        "time went. 0: none."),
    KEY("querier.slow_query_log_values", MRD_CONFIG_BOOL, "false", 0, 0,
        "Whether the slow-query log has the strings of queries (label values, regular "
        "expressions); "
        "else they are masked."),
    {.path = "querier.promql_features",
       .type = MRD_CONFIG_LIST,
       .initial = "",
       .doc = "Parts of PromQL that Prometheus keeps behind --enable-feature, by its names. all: all "
            "of them but "
            "type-and-unit-labels, which expects senders to write __type__ labels.", .choices = feature_choices,
       .reloadable = true,
       .per_tenant = true},
};

static const char *const layout_choices[] = {"plain", "compact", NULL};

static const struct mrd_config_key block_keys[] = {
    {.path = "blocks.layout",
     .type = MRD_CONFIG_ENUM,
     .initial = "plain",
     .doc =
         "How merged blocks hold values. compact: as scaled integers where that is exact, which "
         "takes a third less; SQL then reads coalesce(value, value_i / power(10, value_e)), as the "
         "view samples_plain does.", .choices = layout_choices,
     .reloadable = true,
     .per_tenant = true},
};

static const struct mrd_config_key keep_keys[] = {
    KEY("ingester.exemplars_max", MRD_CONFIG_INT, "10000", 0, 1e8,
        "Exemplars that are kept of one tenant in one partition, the latest. 0: none."),
    KEY("ingester.metadata_max", MRD_CONFIG_INT, "10000", 0, 1e8,
        "Metric families whose metadata is kept, of one tenant in one partition. 0: no new ones."),
    KEY("ingester.tenant_workers", MRD_CONFIG_INT, "0", 0, 256,
        "Questions of one tenant that an ingester works on at once. 0, or more than there are: all "
        "but one of ingester.query_workers."),
    KEY("ingester.tenant_queue_max", MRD_CONFIG_INT, "0", 0, 65536,
        "Questions of one tenant that wait for a worker of an ingester, or for their reader, at "
        "most. 0: half of ingester.query_queue_max."),
};

static const struct mrd_config_key retention_keys[] = {
    KEY("retention.samples", MRD_CONFIG_DURATION, "0s", 0, 1e14,
        "How long samples are kept, by their own time: what is older is left out of every answer "
        "at once, and leaves storage when all of its day or month is older. 0: for ever."),
    KEY("retention.rollups_5m", MRD_CONFIG_DURATION, "0s", 0, 1e14,
        "How long rollups of 5 minutes are kept; they may be kept for longer than samples, and "
        "answer alone then. 0: as long as samples."),
    KEY("retention.rollups_1h", MRD_CONFIG_DURATION, "0s", 0, 1e14,
        "How long rollups of 1 hour are kept. 0: as long as samples."),
    KEY("retention.rollups_6h", MRD_CONFIG_DURATION, "0s", 0, 1e14,
        "How long rollups of 6 hours are kept. 0: as long as samples."),
    KEY("retention.rollups_1d", MRD_CONFIG_DURATION, "0s", 0, 1e14,
        "How long rollups of 1 day are kept. 0: as long as samples."),
    {.path = "retention.rules",
       .type = MRD_CONFIG_LIST,
       .initial = "",
       .max = MRD_RETENTION_RULES_MAX,
       .doc = "Series that are kept for a shorter time, each as 'SELECTOR: DURATION' or 'SELECTOR: "
            "samples=DURATION rollups_5m=DURATION rollups_1h=DURATION rollups_6h=DURATION "
            "rollups_1d=DURATION' with some of these; rollups that are not named are kept as long "
            "as samples. Of all rules "
            "that "
            "select a series the shortest time counts, and never a longer one than the above.", .check = mrd_retention_rule_check,
       .reloadable = true,
       .per_tenant = true},
};

const struct mrd_config_table mrd_tenancy_write_keys = {write_keys, MRD_ARRAY_LEN(write_keys)};
const struct mrd_config_table mrd_tenancy_query_keys = {query_keys, MRD_ARRAY_LEN(query_keys)};
const struct mrd_config_table mrd_tenancy_block_keys = {block_keys, MRD_ARRAY_LEN(block_keys)};
const struct mrd_config_table mrd_tenancy_keep_keys = {keep_keys, MRD_ARRAY_LEN(keep_keys)};

const struct mrd_config_table mrd_tenancy_retention_keys = {retention_keys,
                                                            MRD_ARRAY_LEN(retention_keys)};

static enum mrd_status check_name(struct mrd_bytes name, struct mrd_error *err)
{
    struct mrd_bytes tenant;
    return mrd_tenant_of_header(name, &tenant, err);
}

static const struct mrd_config_table all_keys[] = {
    {write_keys,     MRD_ARRAY_LEN(write_keys)    },
    {query_keys,     MRD_ARRAY_LEN(query_keys)    },
    {block_keys,     MRD_ARRAY_LEN(block_keys)    },
    {keep_keys,      MRD_ARRAY_LEN(keep_keys)     },
    {retention_keys, MRD_ARRAY_LEN(retention_keys)},
};

const struct mrd_config_overrides mrd_tenancy_overrides = {check_name, all_keys,
                                                           MRD_ARRAY_LEN(all_keys)};
