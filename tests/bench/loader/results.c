#include "loader/results.h"

#include <inttypes.h>

static double ms(uint64_t ns) { return (double)ns / 1e6; }

static void print_text(struct mrd_buf *out, const char *text)
{
    mrd_buf_append_u8(out, '"');
    for (const char *at = text; *at != '\0'; at++) {
        if (*at == '"' || *at == '\\') {
            mrd_buf_printf(out, "\\%c", *at);
        } else if ((unsigned char)*at < 0x20) {
            mrd_buf_printf(out, "\\u%04x", (unsigned)*at);
        } else {
            mrd_buf_append_u8(out, (uint8_t)*at);
        }
    }
    mrd_buf_append_u8(out, '"');
}

static void print_plan(const struct load_options *options, struct mrd_buf *out)
{
    const struct load_fleet *fleet = &options->fleet;
    const struct load_plan *plan = &options->plan;
    mrd_buf_printf(out,
                   "\"plan\": {\"seed\": %" PRIu64 ", \"shape\": \"%s\", \"tenants\": %" PRIu64
                   ", \"series\": %" PRIu64 ", \"first_scrape\": %" PRIu64
                   ", \"scrapes\": %" PRIu64,
                   fleet->seed, fleet->shape == LOAD_SHAPE_K8S ? "k8s" : "iot", plan->tenant_count,
                   plan->tenant_series, plan->scrape_first, plan->scrape_count);
    mrd_buf_printf(out,
                   ", \"start_ms\": %" PRId64 ", \"interval_ms\": %" PRId64
                   ", \"churn_per_hour\": %g, \"request_samples\": %" PRIu32
                   ", \"connections\": %" PRIu32 ", \"rate\": %g, \"samples\": %" PRIu64 "}",
                   fleet->start_ms, fleet->interval_ms, fleet->churn_per_hour,
                   plan->request_samples, plan->connection_count, options->rate,
                   load_plan_samples(plan));
}

static void print_statuses(const struct load_results *results, struct mrd_buf *out)
{
    mrd_buf_append_text(out, "\"statuses\": {");
    const char *comma = "";
    for (unsigned i = 0; i < LOAD_STATUS_MAX; i++) {
        if (results->statuses[i] > 0) {
            mrd_buf_printf(out, "%s\"%u\": %" PRIu64, comma, i, results->statuses[i]);
            comma = ", ";
        }
    }
    mrd_buf_append_text(out, "}");
}

static void print_latency(const struct load_latency *latency, struct mrd_buf *out)
{
    static const struct {
        const char *name;
        double share;
    } quantiles[] = {
        {"p50",  0.5  },
        {"p90",  0.9  },
        {"p99",  0.99 },
        {"p999", 0.999},
    };
    mrd_buf_append_text(out, "\"latency_ms\": {");
    for (size_t i = 0; i < MRD_ARRAY_LEN(quantiles); i++) {
        mrd_buf_printf(out, "\"%s\": %.3f, ", quantiles[i].name,
                       ms(load_latency_quantile_ns(latency, quantiles[i].share)));
    }
    const uint64_t mean = latency->count == 0 ? 0 : latency->sum_ns / latency->count;
    mrd_buf_printf(out, "\"max\": %.3f, \"mean\": %.3f, \"count\": %" PRIu64 "}",
                   ms(latency->max_ns), ms(mean), latency->count);
}

void load_results_print(const struct load_results *results, const struct load_options *options,
                        struct mrd_buf *out)
{
    const double seconds = (double)(results->end_ns - results->begin_ns) / 1e9;
    mrd_buf_append_text(out, "{");
    print_plan(options, out);
    mrd_buf_printf(
        out,
        ",\n \"seconds\": %.6f, \"samples_accepted\": %" PRIu64 ", \"samples_refused\": %" PRIu64
        ", \"samples_failed\": %" PRIu64 ", \"samples_per_second\": %.0f",
        seconds, results->samples_accepted, results->samples_refused, results->samples_failed,
        seconds > 0 ? (double)results->samples_accepted / seconds : 0);
    mrd_buf_printf(out,
                   ",\n \"requests\": %" PRIu64 ", \"retries\": %" PRIu64 ", \"connects\": %" PRIu64
                   ", \"bytes_sent\": %" PRIu64 ", \"bytes_raw\": %" PRIu64,
                   results->requests, results->retries, results->connects, results->bytes_sent,
                   results->bytes_raw);
    mrd_buf_printf(out,
                   ",\n \"prepared_requests\": %" PRIu64
                   ", \"prepare_seconds\": %.3f, \"loader_cpu_seconds\": %.3f, \"interrupted\": %s",
                   results->prepared_requests, results->prepare_seconds, results->cpu_seconds,
                   results->interrupted ? "true" : "false");
    mrd_buf_append_text(out, ",\n ");
    print_statuses(results, out);
    mrd_buf_append_text(out, ",\n ");
    print_latency(&results->latency, out);
    mrd_buf_append_text(out, ",\n \"first_failure\": ");
    print_text(out, results->first_failure);
    mrd_buf_append_text(out, "}\n");
}
