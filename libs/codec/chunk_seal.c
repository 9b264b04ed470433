/* Writing sealed chunks: measure what each form would take, write the smallest. */
#include "codec/bitstream.h"
#include "codec/chunk_internal.h"
#include "codec/decimal.h"

#include <stdlib.h>

/* ---- integers in miniblocks ---- */

struct range {
    int64_t min;
    unsigned width;
};

static inline struct range range_of(const uint64_t *fields, size_t count)
{
    int64_t min = (int64_t)fields[0];
    int64_t max = min;
    for (size_t i = 1; i < count; i++) {
        const int64_t field = (int64_t)fields[i];
        min = field < min ? field : min;
        max = field > max ? field : max;
    }
    return (struct range){min, mrd_bits_width((uint64_t)max - (uint64_t)min)};
}

static inline size_t varint_size(uint64_t value) { return (mrd_bits_width(value | 1) + 6) / 7; }
static inline size_t zigzag_size(uint64_t value)
{
    return varint_size(mrd_zigzag_encode((int64_t)value));
}

MRD_SIMD_CLONES static size_t integers_size(const uint64_t *fields, size_t count)
{
    size_t size = 0;
    for (size_t i = 0; i < count; i += MINIBLOCK) {
        const size_t length = MRD_MIN(count - i, (size_t)MINIBLOCK);
        const struct range range = range_of(fields + i, length);
        size += zigzag_size((uint64_t)range.min) + 1 + mrd_bits_packed_size(length, range.width);
    }
    return size;
}

static uint8_t *write_integers(uint8_t *out, const uint64_t *fields, size_t count)
{
    uint64_t rest[MINIBLOCK];
    for (size_t i = 0; i < count; i += MINIBLOCK) {
        const size_t length = MRD_MIN(count - i, (size_t)MINIBLOCK);
        const struct range range = range_of(fields + i, length);
        out += mrd_varint_put(out, mrd_zigzag_encode(range.min));
        *out++ = (uint8_t)range.width;
        for (size_t k = 0; k < length; k++) {
            rest[k] = fields[i + k] - (uint64_t)range.min;
        }
        mrd_bits_pack(rest, length, range.width, out);
        out += mrd_bits_packed_size(length, range.width);
    }
    return out;
}

static void differences(const uint64_t *fields, size_t count, uint64_t *out)
{
    for (size_t i = 1; i < count; i++) {
        out[i - 1] = fields[i] - fields[i - 1];
    }
}

/* ---- times ---- */

struct time_plan {
    enum time_kind kind;
    uint64_t step;
    size_t size;
};

static void residuals(const mrd_time_ms *times_ms, size_t count, uint64_t step, uint64_t *out)
{
    uint64_t base = (uint64_t)times_ms[0];
    for (size_t i = 1; i < count; i++) {
        base += step;
        out[i - 1] = (uint64_t)times_ms[i] - base;
    }
}

static bool is_regular(const mrd_time_ms *times_ms, size_t count, uint64_t step)
{
    uint64_t off = 0;
    uint64_t base = (uint64_t)times_ms[0];
    for (size_t i = 1; i < count; i++) {
        base += step;
        off |= (uint64_t)times_ms[i] ^ base;
    }
    return off == 0;
}

/* The step that the sender may have meant: the mean one rounded to a second, 100 ms or 10 ms if that
 * is next to it, so that the residuals do not drift. */
static uint64_t round_step(uint64_t mean)
{
    static const uint64_t units[] = {1000, 100, 10};
    for (size_t i = 0; i < MRD_ARRAY_LEN(units) && mean < UINT64_MAX - 1000; i++) {
        const uint64_t step = (mean + units[i] / 2) / units[i] * units[i];
        if (step + 2 >= mean && step <= mean + 2) {
            return step;
        }
    }
    return mean;
}

static struct time_plan plan_times(const mrd_time_ms *times_ms, size_t count, uint64_t *scratch)
{
    const uint64_t first = (uint64_t)times_ms[0];
    const size_t first_size = zigzag_size(first);
    if (count == 1) {
        return (struct time_plan){TIME_REGULAR, 0, first_size};
    }
    const uint64_t mean = ((uint64_t)times_ms[count - 1] - first) / (count - 1);
    if (is_regular(times_ms, count, mean)) {
        return (struct time_plan){TIME_REGULAR, mean, first_size + varint_size(mean)};
    }
    differences((const uint64_t *)times_ms, count, scratch);
    struct time_plan best = {TIME_DELTA, 0, first_size + integers_size(scratch, count - 1)};
    const uint64_t steps[] = {round_step(mean), mean};
    for (size_t i = 0; i < (steps[0] == mean ? 1 : 2); i++) {
        residuals(times_ms, count, steps[i], scratch);
        const size_t size = first_size + varint_size(steps[i]) + integers_size(scratch, count - 1);
        if (size < best.size) {
            best = (struct time_plan){TIME_RESIDUAL, steps[i], size};
        }
    }
    return best;
}

static uint8_t *write_times(uint8_t *out, const mrd_time_ms *times_ms, size_t count,
                            struct time_plan plan, uint64_t *scratch)
{
    out += mrd_varint_put(out, mrd_zigzag_encode(times_ms[0]));
    if (count == 1) {
        return out;
    }
    if (plan.kind == TIME_DELTA) {
        differences((const uint64_t *)times_ms, count, scratch);
        return write_integers(out, scratch, count - 1);
    }
    out += mrd_varint_put(out, plan.step);
    if (plan.kind == TIME_REGULAR) {
        return out;
    }
    residuals(times_ms, count, plan.step, scratch);
    return write_integers(out, scratch, count - 1);
}

/* ---- values ---- */

struct value_plan {
    enum value_kind kind;
    unsigned digits; /* or TRANSFORM_BITS */
    unsigned shift;
    size_t patch_count;
    size_t size;
};

/* Scratch of one encode: integers of the values, and what a predictor leaves of them. */
struct workspace {
    uint64_t integers[MRD_CHUNK_SAMPLES_MAX];
    uint64_t deltas[MRD_CHUNK_SAMPLES_MAX];
    uint64_t deltas2[MRD_CHUNK_SAMPLES_MAX];
    uint16_t patches[MRD_CHUNK_SAMPLES_MAX]; /* indexes of values that are no decimals */
};

static size_t patches_max(size_t count) { return 1 + count / 32; }

/* Multiplies integers by 10^(to - from); false if one would leave what doubles hold exactly. */
static bool rescale(uint64_t *integers, size_t count, unsigned from, unsigned to)
{
    const int64_t factor = (int64_t)mrd_decimal_powers[to - from];
    const int64_t most = ((int64_t)1 << 51) / factor;
    bool fits = true;
    for (size_t i = 0; i < count; i++) {
        const int64_t integer = (int64_t)integers[i];
        fits &= integer <= most && integer >= -most;
        integers[i] = (uint64_t)(integer * (fits ? factor : 1));
    }
    return fits;
}

/* Finds the fewest decimals that all values but a few exceptions have, and fills integers (an exception
 * repeats its neighbour) and patches. False if there is no such number. */
static bool scale_values(const double *values, size_t count, struct workspace *work,
                         struct value_plan *plan)
{
    unsigned digits = 0;
    size_t patch_count = 0;
    int64_t scaled = 0;
    for (size_t i = 0; i < count; i++) {
        unsigned wanted = digits;
        while (wanted <= MRD_DECIMAL_DIGITS_MAX && !mrd_decimal_scale(values[i], wanted, &scaled)) {
            wanted++;
        }
        if (wanted > MRD_DECIMAL_DIGITS_MAX) {
            if (patch_count == patches_max(count)) {
                return false;
            }
            work->patches[patch_count++] = (uint16_t)i;
            scaled = i > 0 ? (int64_t)work->integers[i - 1] : 0;
        } else if (wanted > digits) {
            if (!rescale(work->integers, i, digits, wanted)) {
                return false;
            }
            digits = wanted;
        }
        work->integers[i] = (uint64_t)scaled;
    }
    for (size_t i = 0; patch_count > 0 && i < count && work->patches[0] == 0; i++) {
        if (i >= patch_count || work->patches[i] != i) { /* the first value that is no exception */
            for (size_t k = 0; k < i; k++) {
                work->integers[k] = work->integers[i];
            }
            break;
        }
    }
    if (patch_count == count) {
        return false;
    }
    plan->digits = digits;
    plan->patch_count = patch_count;
    return true;
}

static unsigned common_shift(const uint64_t *integers, size_t count)
{
    uint64_t all = 0;
    for (size_t i = 0; i < count; i++) {
        all |= integers[i];
    }
    return all == 0 ? 0 : (unsigned)__builtin_ctzll(all);
}

static unsigned plan_decimals(struct workspace *work, size_t count)
{
    const unsigned shift = common_shift(work->integers, count);
    if (shift == 0) {
        return 0;
    }
    for (size_t i = 0; i < count; i++) {
        work->integers[i] = (uint64_t)((int64_t)work->integers[i] >> shift);
    }
    return shift;
}

/* Doubles' bits as integers in the doubles' order; common trailing zeros shifted out. */
static unsigned plan_bits(const double *values, struct workspace *work, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        work->integers[i] = mrd_double_bits(values[i]) & INT64_MAX;
    }
    const unsigned shift = common_shift(work->integers, count);
    for (size_t i = 0; i < count; i++) {
        const uint64_t magnitude = work->integers[i] >> shift;
        work->integers[i] = mrd_double_bits(values[i]) >> 63 != 0 ? ~magnitude : magnitude;
    }
    return shift;
}

static size_t patches_size(const uint16_t *patches, size_t patch_count)
{
    size_t size = varint_size(patch_count);
    uint16_t last = 0;
    for (size_t i = 0; i < patch_count; i++) {
        size += varint_size((uint64_t)(patches[i] - last)) + 8;
        last = patches[i];
    }
    return size;
}

/* Chooses the predictor; the header is the same for all of them. */
static void plan_kind(struct value_plan *plan, struct workspace *work, size_t count)
{
    const uint64_t *integers = work->integers;
    plan->kind = VALUE_FRAME;
    plan->size = integers_size(integers, count);
    if (count > 1) {
        differences(integers, count, work->deltas);
        const size_t size = zigzag_size(integers[0]) + integers_size(work->deltas, count - 1);
        if (size < plan->size) {
            plan->kind = VALUE_DELTA;
            plan->size = size;
        }
    }
    if (count > 2) {
        differences(work->deltas, count - 1, work->deltas2);
        const size_t size = zigzag_size(integers[0]) + zigzag_size(work->deltas[0]) +
                            integers_size(work->deltas2, count - 2);
        if (size < plan->size) {
            plan->kind = VALUE_DELTA2;
            plan->size = size;
        }
    }
}

static bool is_constant(const double *values, size_t count)
{
    const uint64_t first = mrd_double_bits(values[0]);
    uint64_t off = 0;
    for (size_t i = 1; i < count; i++) {
        off |= mrd_double_bits(values[i]) ^ first;
    }
    return off == 0;
}

static struct value_plan plan_values(const double *values, size_t count, struct workspace *work)
{
    struct value_plan plan = {.digits = TRANSFORM_BITS};
    if (is_constant(values, count)) {
        plan.kind = VALUE_CONSTANT;
        plan.size = 8;
        return plan;
    }
    if (scale_values(values, count, work, &plan)) {
        plan.shift = plan_decimals(work, count);
    } else {
        plan.shift = plan_bits(values, work, count);
    }
    plan_kind(&plan, work, count);
    plan.size += 1 + (plan.shift > 0 ? 1U : 0U) +
                 (plan.patch_count > 0 ? patches_size(work->patches, plan.patch_count) : 0);
    return plan;
}

static uint8_t *write_patches(uint8_t *out, const double *values, const uint16_t *patches,
                              size_t patch_count)
{
    out += mrd_varint_put(out, patch_count);
    uint16_t last = 0;
    for (size_t i = 0; i < patch_count; i++) {
        out += mrd_varint_put(out, (uint64_t)(patches[i] - last));
        memcpy(out, &values[patches[i]], 8);
        out += 8;
        last = patches[i];
    }
    return out;
}

static uint8_t *write_values(uint8_t *out, const double *values, size_t count,
                             const struct value_plan *plan, const struct workspace *work)
{
    if (plan->kind == VALUE_CONSTANT) {
        memcpy(out, values, 8);
        return out + 8;
    }
    *out++ = (uint8_t)(plan->digits | (plan->shift > 0 ? TRANSFORM_SHIFTED : 0) |
                       (plan->patch_count > 0 ? TRANSFORM_PATCHED : 0));
    if (plan->shift > 0) {
        *out++ = (uint8_t)plan->shift;
    }
    if (plan->patch_count > 0) {
        out = write_patches(out, values, work->patches, plan->patch_count);
    }
    if (plan->kind == VALUE_FRAME) {
        return write_integers(out, work->integers, count);
    }
    out += mrd_varint_put(out, mrd_zigzag_encode((int64_t)work->integers[0]));
    if (plan->kind == VALUE_DELTA) {
        return write_integers(out, work->deltas, count - 1);
    }
    out += mrd_varint_put(out, mrd_zigzag_encode((int64_t)work->deltas[0]));
    return write_integers(out, work->deltas2, count - 2);
}

static size_t write_raw(const mrd_time_ms *times_ms, const double *values, size_t count,
                        uint8_t *out)
{
    memcpy(out, times_ms, count * 8);
    memcpy(out + count * 8, values, count * 8);
    return count * 16;
}

size_t mrd_chunk_encode(const mrd_time_ms *times_ms, const double *values, size_t count,
                        uint8_t *out, uint8_t *out_encoding)
{
    mrd_assert(count >= 1 && count <= MRD_CHUNK_SAMPLES_MAX);
    struct workspace work;
    uint64_t scratch[MRD_CHUNK_SAMPLES_MAX];
    const struct time_plan times = plan_times(times_ms, count, scratch);
    const struct value_plan plan = plan_values(values, count, &work);
    const size_t size = times.size + plan.size;
    if (size > mrd_chunk_size_max(count)) {
        *out_encoding = MRD_CHUNK_RAW;
        return write_raw(times_ms, values, count, out);
    }
    uint8_t *end = write_times(out, times_ms, count, times, scratch);
    end = write_values(end, values, count, &plan, &work);
    mrd_assert((size_t)(end - out) == size);
    *out_encoding = (uint8_t)(MRD_CHUNK_SEALED + ((unsigned)times.kind << 2) + (unsigned)plan.kind);
    return size;
}
