// Euler-Maruyama of the two-layer network, path by path, as one writes it in C++: std::mt19937_64, std::normal_distribution.
#include <cmath>
#include <cstdint>
#include <random>

extern "C" void euler_loop(double *u, double *w, int64_t paths, int64_t steps, double dt, double amplitude,
                           double target, double noise, uint64_t seed) {
    std::mt19937_64 generator(seed);
    std::normal_distribution<double> normal(0.0, 1.0);
    const double root = std::sqrt(dt) * amplitude;
    for (int64_t i = 0; i < paths; ++i) {
        double a = u[i], b = w[i];
        for (int64_t s = 0; s < steps; ++s) {
            const double r = a * b - target;
            const double kick = dt * r + root * std::sqrt(2.0 * r * r + noise * noise) * normal(generator);
            const double next = a - kick * b;
            b -= kick * a;
            a = next;
        }
        u[i] = a;
        w[i] = b;
    }
}
