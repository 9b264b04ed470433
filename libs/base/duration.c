#include "base/duration.h"

#include <stdio.h>

static const struct {
    const char *unit;
    int64_t ms;
    bool exact; /* printed only where it divides what is left (as Prometheus prints y, w) */
} duration_units[] = {
    {"y",  365LL * 24 * 3600 * 1000, true },
    {"w",  7LL * 24 * 3600 * 1000,   true },
    {"d",  24LL * 3600 * 1000,       false},
    {"h",  3600LL * 1000,            false},
    {"m",  60LL * 1000,              false},
    {"s",  1000,                     false},
    {"ms", 1,                        false},
};

/* Finds the unit at `text` at or after units[first]; its index, or the array's length. */
static size_t find_unit(struct mrd_bytes text, size_t first)
{
    for (size_t i = first; i < MRD_ARRAY_LEN(duration_units); i++) {
        if (mrd_bytes_equal(text, mrd_bytes_of(duration_units[i].unit))) {
            return i;
        }
    }
    return MRD_ARRAY_LEN(duration_units);
}

static enum mrd_status duration_invalid(struct mrd_bytes text, struct mrd_error *err)
{
    return mrd_fail(err, MRD_E_INVALID,
                    "not a valid duration: \"%.*s\" (write for example 1h30m, 15s or 500ms)",
                    (int)MRD_MIN(text.size, (size_t)64), (const char *)text.data);
}

static bool is_digit(uint8_t c) { return c >= '0' && c <= '9'; }

enum mrd_status mrd_duration_parse(struct mrd_bytes text, mrd_time_ms *out_ms,
                                   struct mrd_error *err)
{
    if (mrd_bytes_equal(text, MRD_BYTES("0"))) {
        *out_ms = 0;
        return MRD_OK;
    }
    int64_t total = 0;
    size_t unit_next = 0;
    size_t at = 0;
    if (text.size == 0) {
        return duration_invalid(text, err);
    }
    while (at < text.size) {
        int64_t number = 0;
        const size_t digits = at;
        for (; at < text.size && is_digit(text.data[at]); at++) {
            if (__builtin_mul_overflow(number, 10, &number) ||
                __builtin_add_overflow(number, text.data[at] - '0', &number)) {
                return duration_invalid(text, err);
            }
        }
        const size_t unit_start = at;
        while (at < text.size && !is_digit(text.data[at])) {
            at++;
        }
        const struct mrd_bytes unit = {text.data + unit_start, at - unit_start};
        const size_t index = find_unit(unit, unit_next);
        if (digits == unit_start || index == MRD_ARRAY_LEN(duration_units) ||
            __builtin_mul_overflow(number, duration_units[index].ms, &number) ||
            __builtin_add_overflow(total, number, &total)) {
            return duration_invalid(text, err);
        }
        unit_next = index + 1;
    }
    *out_ms = total;
    return MRD_OK;
}

const char *mrd_duration_format(mrd_time_ms duration_ms, char out[MRD_DURATION_TEXT_MAX])
{
    if (duration_ms == 0) {
        return strcpy(out, "0s");
    }
    uint64_t left = duration_ms < 0 ? -(uint64_t)duration_ms : (uint64_t)duration_ms;
    size_t used = 0;
    if (duration_ms < 0) {
        out[used++] = '-';
    }
    for (size_t i = 0; i < MRD_ARRAY_LEN(duration_units); i++) {
        const uint64_t unit = (uint64_t)duration_units[i].ms;
        if (left < unit || (duration_units[i].exact && left % unit != 0)) {
            continue;
        }
        used += (size_t)snprintf(out + used, MRD_DURATION_TEXT_MAX - used, "%llu%s",
                                 (unsigned long long)(left / unit), duration_units[i].unit);
        left %= unit;
    }
    return out;
}
