// pair_style ladera: energies, forces and stresses of any model of Ladera.

#ifndef LMP_PAIR_LADERA_H
#define LMP_PAIR_LADERA_H

#include "interface.h"
#include "pair.h"

#include <string>
#include <vector>

namespace LAMMPS_NS {

class PairLadera : public Pair {
 public:
  PairLadera(class LAMMPS *);
  ~PairLadera() override;

  void settings(int, char **) override;
  void coeff(int, char **) override;
  void init_style() override;
  double init_one(int, int) override;
  void compute(int, int) override;

  void *extract(const char *, int &) override;
  void *extract_peratom(const char *, int &) override;
  double memory_usage() override;

  int pack_forward_comm(int, int *, double *, int, int *) override;
  void unpack_forward_comm(int, int, double *) override;
  int pack_reverse_comm(int, int, double *) override;
  void unpack_reverse_comm(int, int *, double *) override;

 private:
  // A value of each atom that fix pair may ask for.
  struct PerAtom {
    const char *name;
    LaderaWanted bit;
    const double *LaderaAtoms::*answer;
    int asked;
    std::vector<double> values;
  };

  std::string paths, symbols;    // one a line
  LaderaModel model;
  LaderaAtoms atoms;
  double energy_unit;    // 1 eV in units of LAMMPS
  std::vector<PerAtom> per_atom;

  // The atoms of the list that are in the arrays: `count` from `first` on. In a portion their rows
  // are numbered from 0 on, else as the atoms are.
  int first, count;
  bool is_portion;
  std::vector<int64_t> numbers, row_pointer, centers, neighbors;
  std::vector<double> vectors;
  std::vector<int> ends;       // the neighbour of each edge, as LAMMPS numbers it
  std::vector<int> types;      // of all atoms when the list was sorted
  std::vector<int> sorted, places;    // scratch

  static constexpr int COLUMNS = 64;    // of one exchange of ghosts
  // What is being exchanged: columns `column` to `column + width` of rows with a stride.
  char *rows;
  int stride, bytes, column, width;

  void load();
  void require_all_pairs();
  void require_no_exclusions();
  bool is_there(int) const;
  void compare_masses();
  int row_of(int) const;

  void sort_by_element();
  void make_room(int64_t, int64_t);
  int64_t add_edges(int, int64_t);
  void fill_portion();
  void fill_all();
  void fill_system();
  void ask();
  void take_atoms();
  void take_edges();
  void take_virials();
  void take_system();

  void exchange(bool, void *, int, int);
  static void forward(void *, void *, int32_t, int32_t);
  static void reverse(void *, void *, int32_t, int32_t);
  static void total(void *, double *, int32_t);
};

}    // namespace LAMMPS_NS

#endif
