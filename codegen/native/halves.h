/* The usual pool, sums over windows of 2 x 2 that touch: planes half as high and half as wide, without an odd row or column. */

void snn_half_forward(const snn_pool *a, const real *in, real *out, int64_t first, int64_t last, real factor, int64_t add)
{
    for (int64_t plane = first; plane < last; plane++)
        for (int64_t r = 0; r < a->rows; r++) {
            const real *restrict upper = in + (plane*a->height + 2*r)*a->width, *restrict lower = upper + a->width;
            real *restrict made = out + (plane*a->rows + r)*a->columns;
            #pragma omp simd
            for (int64_t c = 0; c < a->columns; c++)
                made[c] = (add ? made[c] : 0) + factor*(upper[2*c] + upper[2*c + 1] + lower[2*c] + lower[2*c + 1]);
        }
}

void snn_half_backward(const snn_pool *a, const real *bars, real *out, int64_t first, int64_t last, real factor, int64_t add)
{
    for (int64_t plane = first; plane < last; plane++)
        for (int64_t h = 0; h < a->height; h++) {
            const real *restrict from = bars + (plane*a->rows + h/2)*a->columns;
            real *restrict made = out + (plane*a->height + h)*a->width;
            const int64_t columns = h < 2*a->rows ? a->columns : 0;
            #pragma omp simd
            for (int64_t c = 0; c < columns; c++) {
                made[2*c] = (add ? made[2*c] : 0) + factor*from[c];
                made[2*c + 1] = (add ? made[2*c + 1] : 0) + factor*from[c];
            }
            if (!add) for (int64_t w = 2*columns; w < a->width; w++) made[w] = 0;
        }
}
