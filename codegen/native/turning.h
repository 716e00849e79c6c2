/* Matrices turned over, in squares of sixteen that stay in registers or in the cache: from channels first to channels last and back. */

#if defined(__AVX512F__)
#include <immintrin.h>

/* Up to 16 x 16 numbers in single precision: four rounds that each double how far a number has come. */
static void __attribute__((noinline)) turn_square(int64_t rows, int64_t columns, const float *in, int64_t in_step, float *out, int64_t out_step, int add)
{
    const __mmask16 across = (__mmask16)((1u << columns) - 1), down = (__mmask16)((1u << rows) - 1);
    __m512 a[16], b[16];
    _Pragma("GCC unroll 16") for (int i = 0; i < 16; i++) a[i] = i < rows ? _mm512_maskz_loadu_ps(across, in + i*in_step) : _mm512_setzero_ps();
    _Pragma("GCC unroll 16") for (int i = 0; i < 16; i += 2) {
        b[i] = _mm512_unpacklo_ps(a[i], a[i + 1]);
        b[i + 1] = _mm512_unpackhi_ps(a[i], a[i + 1]);
    }
    _Pragma("GCC unroll 16") for (int i = 0; i < 16; i += 4) {
        _Pragma("GCC unroll 16") for (int j = 0; j < 2; j++) {
            const __m512d one = _mm512_castps_pd(b[i + j]), other = _mm512_castps_pd(b[i + j + 2]);
            a[i + 2*j] = _mm512_castpd_ps(_mm512_unpacklo_pd(one, other));
            a[i + 2*j + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(one, other));
        }
    }
    _Pragma("GCC unroll 16") for (int j = 0; j < 4; j++) { /* quarters of a[4*i + j] are rows 4*i .. 4*i + 3 of columns j, j + 4, j + 8, j + 12 */
        const __m512 x = _mm512_shuffle_f32x4(a[j], a[j + 4], 0x88), y = _mm512_shuffle_f32x4(a[j], a[j + 4], 0xdd);
        const __m512 z = _mm512_shuffle_f32x4(a[j + 8], a[j + 12], 0x88), w = _mm512_shuffle_f32x4(a[j + 8], a[j + 12], 0xdd);
        b[j] = _mm512_shuffle_f32x4(x, z, 0x88);
        b[j + 4] = _mm512_shuffle_f32x4(y, w, 0x88);
        b[j + 8] = _mm512_shuffle_f32x4(x, z, 0xdd);
        b[j + 12] = _mm512_shuffle_f32x4(y, w, 0xdd);
    }
    _Pragma("GCC unroll 16") for (int j = 0; j < 16; j++)
        if (j < columns) {
            float *const to = out + j*out_step;
            if (add) b[j] = _mm512_add_ps(b[j], _mm512_maskz_loadu_ps(down, to));
            _mm512_mask_storeu_ps(to, down, b[j]);
        }
}
#endif

/* (rows, columns) to (columns, rows), or added to what is there. */
static void __attribute__((noinline)) turn_over(int64_t rows, int64_t columns, const real *in, int64_t in_step, real *out, int64_t out_step, int add)
{
    for (int64_t c = 0; c < columns; c += 16)
        for (int64_t r = 0; r < rows; r += 16) {
            const int64_t rn = rows - r < 16 ? rows - r : 16, cn = columns - c < 16 ? columns - c : 16;
            const real *const from = in + r*in_step + c;
            real *const to = out + c*out_step + r;
#if defined(__AVX512F__)
            if (sizeof(real) == sizeof(float)) {
                turn_square(rn, cn, (const float *)from, in_step, (float *)to, out_step, add);
                continue;
            }
#endif
            for (int64_t j = 0; j < cn; j++) {
                if (add) for (int64_t i = 0; i < rn; i++) to[j*out_step + i] += from[i*in_step + j];
                else for (int64_t i = 0; i < rn; i++) to[j*out_step + i] = from[i*in_step + j];
            }
        }
}

static void turn(int64_t rows, int64_t columns, const real *in, int64_t in_step, real *out, int64_t out_step)
{
    turn_over(rows, columns, in, in_step, out, out_step, 0);
}
