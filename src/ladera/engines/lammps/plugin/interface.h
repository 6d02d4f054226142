// What the pair style and Python say to each other. bridge.py has the same structures, in ctypes.

#ifndef LADERA_INTERFACE_H
#define LADERA_INTERFACE_H

#include <cstdint>

extern "C" {

constexpr int LADERA_TEXT = 1024;    // bytes of a sentence, with its end

// How much of the system a model wants to see at once.
enum LaderaReach : int32_t {
  LADERA_EDGES = 0,       // the edges of some atoms, in any portions
  LADERA_MESSAGES = 1,    // all edges of a process, and an exchange of what ghosts are
  LADERA_SYSTEM = 2       // all atoms, on one process
};

// What may be asked of atoms beside their energies; bits of LaderaAtoms::wanted.
enum LaderaWanted : int32_t { LADERA_GRADE = 1, LADERA_SPREAD = 2, LADERA_CHARGE = 4 };

// A model to be read, and what it is.
struct LaderaModel {
  const char *paths;       // one a line
  const char *symbols;     // of the elements, one a line
  int32_t threads;
  int32_t processes;
  int32_t number;          // by which it is known from here on
  int32_t reach;           // LaderaReach
  int32_t hops;            // 0: any number
  int32_t gives;           // bits of LaderaWanted
  int32_t at_once;         // those of them that take all edges of a process at once
  int32_t numbers[128];    // atomic numbers of the elements
  double masses[128];      // amu
  double cutoff;           // Angstrom
  char message[LADERA_TEXT];
};

// Atoms of one process, or some of them, and what a model says of them.
struct LaderaAtoms {
  int32_t model;
  int32_t wanted;
  int64_t n_owned;         // these come first
  int64_t n_atoms;
  int64_t n_edges;
  int64_t atom_room;       // rows that there are in the arrays below
  int64_t edge_room;
  int64_t *numbers;        // (n_atoms,) atomic numbers
  int64_t *row_pointer;    // (n_atoms + 1,)
  int64_t *centers;        // (n_edges,)
  int64_t *neighbors;      // (n_edges,)
  double *vectors;         // (n_edges, 3) Angstrom
  double *positions;       // (n_atoms, 3) Angstrom; null where only edges count
  double cell[9];          // rows are the cell vectors, Angstrom
  int32_t periodic[3];
  int32_t is_portion;      // whether one atom of each element stands for all neighbours
  // How ghosts are exchanged; the first argument is `pair`.
  void *pair;
  void (*forward)(void *pair, void *rows, int32_t width, int32_t bytes);
  void (*reverse)(void *pair, void *rows, int32_t width, int32_t bytes);
  void (*total)(void *pair, double *values, int32_t count);
  // The answer, valid until the next call.
  const double *energies;      // (n_atoms,) eV
  const double *gradients;     // (n_edges, 3) eV/Angstrom; null of a whole system, which has
  const double *forces;        // (n_atoms, 3) eV/Angstrom,
  const double *virial;        // (3, 3) eV,
  const double *virials;       // and (n_atoms, 3, 3) eV
  const double *grade;         // (n_atoms,)
  const double *spread;        // (n_atoms,) eV/Angstrom
  const double *charge;        // (n_atoms,) e
  char message[LADERA_TEXT];
};

// Python's functions: 0, or another number and a sentence in `message`.
struct LaderaPython {
  int32_t (*load)(LaderaModel *);
  int32_t (*evaluate)(LaderaAtoms *);
  void (*forget)(int32_t model);
  char message[LADERA_TEXT];    // why there are none
};
}

#endif
