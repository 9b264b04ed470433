#include "loader/expected.h"

#include <inttypes.h>

#include "base/number.h"
#include "loader/plan.h"

struct printing {
    const struct load_options *options;
    FILE *out;
    struct mrd_buf line;
    uint64_t left;
};

static void print_sample(struct printing *printing, uint64_t tenant,
                         const struct load_sample_place *place)
{
    const struct load_fleet *fleet = &printing->options->fleet;
    const uint32_t generation = load_fleet_generation(fleet, place->device, place->scrape);
    struct load_label_texts texts;
    struct mrd_label labels[LOAD_LABELS_MAX];
    const size_t count =
        load_fleet_labels(fleet, place->device, generation, place->slot, &texts, labels);
    double values[LOAD_DEVICE_SERIES];
    load_fleet_values(fleet, place->device, generation, place->scrape, values);
    char value[MRD_DOUBLE_TEXT_MAX];
    (void)mrd_double_format_json(values[place->slot], value);

    struct mrd_buf *line = &printing->line;
    mrd_buf_clear(line);
    mrd_buf_printf(line, "%" PRIu64 "\t", tenant);
    mrd_labels_format((struct mrd_labels){labels, count}, line);
    mrd_buf_printf(line, "\t%" PRId64 "\t%s\n",
                   load_fleet_time_ms(fleet, place->device, place->scrape), value);
    (void)fwrite(line->data, 1, line->size, printing->out);
}

static void print_range(struct printing *printing, uint32_t connection,
                        const struct load_acked_range *range)
{
    const struct load_plan *plan = &printing->options->plan;
    for (uint64_t number = range->first; number <= range->last && printing->left > 0; number++) {
        const struct load_request request = load_plan_request(plan, connection, number);
        for (uint32_t i = 0; i < request.sample_count && printing->left > 0; i++) {
            const struct load_sample_place place = load_request_sample(plan, &request, i);
            print_sample(printing, request.tenant, &place);
            printing->left--;
        }
    }
}

static enum mrd_status print_connection(struct printing *printing, uint32_t connection,
                                        const struct mrd_bytes *list, struct mrd_error *err)
{
    const uint64_t count = load_plan_requests(&printing->options->plan, connection);
    if (list == NULL) {
        if (count > 0) {
            print_range(printing, connection, &(struct load_acked_range){0, count - 1});
        }
        return MRD_OK;
    }
    mrd_auto(load_acked_fini)
    struct load_acked acked = {0};
    MRD_TRY(load_acked_parse(*list, connection, &acked, err));
    for (size_t i = 0; i < acked.count; i++) {
        if (acked.ranges[i].last >= count) {
            return mrd_fail(err, MRD_E_INVALID,
                            "connection %" PRIu32 " has %" PRIu64
                            " requests, the list names %" PRIu64,
                            connection, count, acked.ranges[i].last);
        }
        print_range(printing, connection, &acked.ranges[i]);
    }
    return MRD_OK;
}

enum mrd_status load_expected_print(const struct load_options *options,
                                    const struct mrd_bytes *acked, FILE *out, struct mrd_error *err)
{
    struct printing printing = {
        .options = options,
        .out = out,
        .left = options->print_max == 0 ? UINT64_MAX : options->print_max,
    };
    enum mrd_status status = MRD_OK;
    for (uint32_t i = 0; i < options->plan.connection_count && status == MRD_OK; i++) {
        status = print_connection(&printing, i, acked, err);
    }
    mrd_buf_fini(&printing.line);
    return status;
}
