// What a step of molecular dynamics costs in n2p2: neighbour list, symmetry functions with their
// derivatives, networks, forces. Reading files and setting up are outside the clock.
//
//     n2p2_step FOLDER STRUCTURES REPEATS
//
// FOLDER holds input.nn, scaling.data and weights.NNN.data, STRUCTURES one or more frames in the
// format of input.data. Every frame is computed REPEATS times. Per repeat, summed over the frames,
// a line "seconds" with the CPU seconds of the four stages; then, for every frame, a line "energy"
// and one line "force" for each atom, in the units of the files.

#include "Mode.h"
#include "Structure.h"
#include <array>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <map>
#include <string>
#include <vector>

namespace {

double cpu_seconds() {
    timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return now.tv_sec + 1e-9 * now.tv_nsec;
}

class Potential : public nnp::Mode {
public:
    explicit Potential(std::string const& folder) {
        log.writeToStdout = false;
        initialize();
        loadSettingsFile(folder + "/input.nn");
        setupGeneric(folder + "/");
        setupSymmetryFunctionScaling(folder + "/scaling.data");
        std::map<std::string, std::string> weights{{"short", folder + "/weights.%03zu.data"}};
        setupNeuralNetworkWeights(weights);
        setupSymmetryFunctionStatistics(false, false, false, false);
    }

    std::vector<nnp::Structure> read(char const* path) {
        std::vector<nnp::Structure> frames;
        std::ifstream file(path);
        while (file.peek() != EOF) {
            frames.emplace_back();
            frames.back().setElementMap(elementMap);
            frames.back().readFromFile(file);
            if (normalize)
                frames.back().toNormalizedUnits(meanEnergy, convEnergy, convLength, convCharge);
        }
        return frames;
    }

    void step(nnp::Structure& frame, std::array<double, 4>& spent) {
        double const start = cpu_seconds();
        frame.clearNeighborList();
        frame.calculateNeighborList(maxCutoffRadius, false);
        double const neighbors = cpu_seconds();
        calculateSymmetryFunctionGroups(frame, true);
        double const functions = cpu_seconds();
        calculateAtomicNeuralNetworks(frame, true);
        calculateEnergy(frame);
        double const networks = cpu_seconds();
        calculateForces(frame);
        double const forces = cpu_seconds();
        spent[0] += neighbors - start;
        spent[1] += functions - neighbors;
        spent[2] += networks - functions;
        spent[3] += forces - networks;
    }

    void print(nnp::Structure& frame) {
        if (normalize) frame.toPhysicalUnits(meanEnergy, convEnergy, convLength, convCharge);
        addEnergyOffset(frame, false);
        std::printf("energy %.16e\n", frame.energy);
        for (auto const& atom : frame.atoms)
            std::printf("force %.16e %.16e %.16e\n", atom.f[0], atom.f[1], atom.f[2]);
    }
};

} // namespace

int main(int argc, char** argv) {
    if (argc != 4) {
        std::fprintf(stderr, "usage: %s FOLDER STRUCTURES REPEATS\n", argv[0]);
        return 2;
    }
    Potential potential(argv[1]);
    auto frames = potential.read(argv[2]);
    for (int repeat = 0; repeat < std::atoi(argv[3]); ++repeat) {
        std::array<double, 4> spent{};
        for (auto& frame : frames) potential.step(frame, spent);
        std::printf("seconds %.9f %.9f %.9f %.9f\n", spent[0], spent[1], spent[2], spent[3]);
    }
    for (auto& frame : frames) potential.print(frame);
}
