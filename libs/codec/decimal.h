/* decimal.h: doubles that are integers times a negative power of ten.
 *
 * A double v has `digits` decimals if v == r / 10^digits for an integer r, in IEEE arithmetic, bit
 * for bit. Both sides of that are exact (|r| <= 2^51, 10^digits a double), so it is the same on every
 * machine and r alone brings v back.
 */
#ifndef MRD_CODEC_DECIMAL_H
#define MRD_CODEC_DECIMAL_H

#include "model/sample.h"

enum { MRD_DECIMAL_DIGITS_MAX = 14 };

static const double mrd_decimal_powers[MRD_DECIMAL_DIGITS_MAX + 1] = {
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14};

static inline double mrd_decimal_value(int64_t scaled, unsigned digits)
{
    return digits == 0 ? (double)scaled : (double)scaled / mrd_decimal_powers[digits];
}

/* True and *out = r if value has `digits` decimals. -0, NaN and infinities have none. */
static inline bool mrd_decimal_scale(double value, unsigned digits, int64_t *out)
{
    const double wide = value * mrd_decimal_powers[digits];
    if (!(wide <= 0x1p51 && wide >= -0x1p51)) {
        return false;
    }
    const double rounded = (wide + 0x1.8p52) - 0x1.8p52; /* to the nearest integer */
    const double back = digits == 0 ? rounded : rounded / mrd_decimal_powers[digits];
    const int64_t scaled = (int64_t)rounded;
    /* rounded may be -0 where the integer is 0 */
    if (mrd_double_bits(back) != mrd_double_bits(value) ||
        (scaled == 0 && mrd_double_bits(value) != 0)) {
        return false;
    }
    *out = scaled;
    return true;
}

#endif
