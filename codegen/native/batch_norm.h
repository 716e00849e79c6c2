/* Batch normalisation of numbers (groups, rows, channels, places): sums of 64 bits in an order that depends on nothing but the shape, and
   what is done to each number with them. Statistics and factors are (groups, channels). */

/* The sums over rows and places of x (kind 0), of (x - mean)*(x - mean) (1) or of x*y (2), for channels first .. last - 1. */
void snn_norm_total(const real *x, const real *y, const double *mean, double *total, int64_t groups, int64_t rows, int64_t channels,
                    int64_t places, int64_t kind, int64_t first, int64_t last)
{
    for (int64_t g = 0; g < groups; g++) {
        double *const sum = total + g*channels;
        const double *const middle = mean + g*channels;
        for (int64_t c = first; c < last; c++) sum[c] = 0;
        for (int64_t r = 0; r < rows; r++) {
            const real *const a = x + (g*rows + r)*channels*places, *const b = y + (g*rows + r)*channels*places;
            if (places == 1) { /* neurons beside each other, each with its own sum */
                if (kind == 0)
                    for (int64_t c = first; c < last; c++) sum[c] += (double)a[c];
                else if (kind == 1)
                    for (int64_t c = first; c < last; c++) sum[c] += ((double)a[c] - middle[c])*((double)a[c] - middle[c]);
                else
                    for (int64_t c = first; c < last; c++) sum[c] += (double)a[c]*(double)b[c];
                continue;
            }
            for (int64_t c = first; c < last; c++) { /* eight sums side by side, whatever the registers are */
                const real *const u = a + c*places, *const v = b + c*places;
                const double m = middle[c];
                double part[8] = {0, 0, 0, 0, 0, 0, 0, 0};
                int64_t p = 0;
                for (; p + 8 <= places; p += 8)
                    for (int64_t k = 0; k < 8; k++) {
                        const double d = (double)u[p + k];
                        part[k] += kind == 0 ? d : kind == 1 ? (d - m)*(d - m) : d*(double)v[p + k];
                    }
                for (int64_t k = 0; p < places; p++, k++) {
                    const double d = (double)u[p];
                    part[k] += kind == 0 ? d : kind == 1 ? (d - m)*(d - m) : d*(double)v[p];
                }
                sum[c] += ((part[0] + part[4]) + (part[1] + part[5])) + ((part[2] + part[6]) + (part[3] + part[7]));
            }
        }
    }
}

/* x becomes (x - mean)*inverse, and y is, or is increased by, gain*x + shift; rows first .. last - 1 of all groups. */
void snn_norm_apply(real *x, real *y, const real *mean, const real *inverse, const real *gain, const real *shift, int64_t rows,
                    int64_t channels, int64_t places, int64_t add, int64_t first, int64_t last)
{
    for (int64_t row = first; row < last; row++) {
        const real *const m = mean + row/rows*channels, *const f = inverse + row/rows*channels;
        real *restrict a = x + row*channels*places, *restrict b = y + row*channels*places;
        if (places == 1) {
            for (int64_t c = 0; c < channels; c++) {
                a[c] = (a[c] - m[c])*f[c];
                b[c] = (add ? b[c] : (real)0) + (a[c]*gain[c] + shift[c]);
            }
            continue;
        }
        for (int64_t c = 0; c < channels; c++, a += places, b += places) {
            const real middle = m[c], factor = f[c], by = gain[c], more = shift[c];
            for (int64_t p = 0; p < places; p++) {
                const real made = (a[p] - middle)*factor;
                a[p] = made;
                b[p] = (add ? b[p] : (real)0) + (made*by + more);
            }
        }
    }
}

/* out = (bar - sum - x*product)*factor; rows first .. last - 1 of all groups. */
void snn_norm_turn(const real *bars, const real *x, const real *sum, const real *product, const real *factor, real *out, int64_t rows,
                   int64_t channels, int64_t places, int64_t first, int64_t last)
{
    for (int64_t row = first; row < last; row++) {
        const int64_t at = row/rows*channels;
        const real *restrict a = bars + row*channels*places, *restrict b = x + row*channels*places;
        real *restrict made = out + row*channels*places;
        if (places == 1) {
            for (int64_t c = 0; c < channels; c++) made[c] = (a[c] - sum[at + c] - b[c]*product[at + c])*factor[at + c];
            continue;
        }
        for (int64_t c = 0; c < channels; c++, a += places, b += places, made += places) {
            const real s = sum[at + c], t = product[at + c], f = factor[at + c];
            for (int64_t p = 0; p < places; p++) made[p] = (a[p] - s - b[p]*t)*f;
        }
    }
}
